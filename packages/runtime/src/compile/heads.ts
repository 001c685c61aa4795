/** Where the heads of a query, key or value lie inside a row: as a {@link HeadSlice} has them. */
export interface HeadLayout {
  readonly column: number;
  readonly headStride: number;
  readonly groupStride?: number;
}

/** Heads side by side, as a linear of its own makes them. */
export function adjacentHeads(headDim: number): HeadLayout {
  return { column: 0, headStride: headDim };
}

/**
 * Reads a list of channels as heads at equal distances, which attention can read where they are: query_key_value of
 * GPT-NeoX gives each head of q at a distance of three heads, a plain concatenation gives a distance of one. Falcon puts the
 * heads of q in groups of `grouped`, with their key and value after each group. Undefined where the channels have another
 * order.
 */
export function headLayout(channels: ArrayLike<number>, headDim: number, grouped = 1): HeadLayout | undefined {
  const heads = channels.length / headDim;
  const column = channels[0];
  if (column === undefined || !Number.isInteger(heads)) return undefined;
  const distance = (head: number): number => (channels[head * headDim] ?? 0) - column;
  const headStride = grouped > 1 || heads > 1 ? distance(1) : headDim;
  const groupStride = heads > grouped ? distance(grouped) : grouped * headStride;
  if (headStride < headDim || groupStride < headDim) return undefined;
  for (let i = 0; i < channels.length; i++) {
    const head = Math.floor(i / headDim);
    const start = column + Math.floor(head / grouped) * groupStride + (head % grouped) * headStride;
    if (channels[i] !== start + (i % headDim)) return undefined;
  }
  return groupStride === grouped * headStride ? { column, headStride } : { column, headStride, groupStride };
}
