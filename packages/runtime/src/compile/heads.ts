/** Where the heads of a query, key or value lie inside a row: head h starts at column + h * headStride. */
export interface HeadLayout {
  readonly column: number;
  readonly headStride: number;
}

/** Heads side by side, as a linear of its own makes them. */
export function adjacentHeads(headDim: number): HeadLayout {
  return { column: 0, headStride: headDim };
}

/**
 * Reads a list of channels as heads at equal distances, which attention can read where they are: query_key_value of
 * GPT-NeoX gives each head of q at a distance of three heads, a plain concatenation gives a distance of one. Undefined where
 * the channels have another order.
 */
export function headLayout(channels: ArrayLike<number>, headDim: number): HeadLayout | undefined {
  const heads = channels.length / headDim;
  const column = channels[0];
  if (column === undefined || !Number.isInteger(heads)) return undefined;
  const headStride = heads > 1 ? (channels[headDim] ?? 0) - column : headDim;
  if (headStride < headDim) return undefined;
  for (let i = 0; i < channels.length; i++) {
    if (channels[i] !== column + Math.floor(i / headDim) * headStride + (i % headDim)) return undefined;
  }
  return { column, headStride };
}
