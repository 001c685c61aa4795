import { checkOptions, InvalidOptionError } from '@llm/tensor';

export interface EmbedOptions {
  /** The mean over all tokens (default), or the last token's state. */
  readonly pooling?: 'mean' | 'last';
  /** Scale to length 1, so that a dot product is a cosine. Default true. */
  readonly normalize?: boolean;
  readonly signal?: AbortSignal;
}

/** @throws {@link UnknownOptionError}, {@link InvalidOptionError} */
export function checkEmbedOptions(options: EmbedOptions): void {
  checkOptions(options, ['pooling', 'normalize', 'signal'], 'embed()');
  const { pooling = 'mean' } = options;
  if (!['mean', 'last'].includes(pooling)) throw new InvalidOptionError('pooling', pooling, ['mean', 'last']);
}

/** The mean of the rows of states [tokens, width]. */
export function meanRow(states: Float32Array, width: number): Float32Array {
  const sums = new Float64Array(width);
  const rows = states.length / width;
  for (let i = 0; i < states.length; i++) sums[i % width] = (sums[i % width] ?? 0) + (states[i] ?? 0);
  return Float32Array.from(sums, (sum) => sum / rows);
}

/** The vector scaled to length 1; left alone if it is zero. */
export function unitLength(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return length === 0 ? vector : vector.map((value) => value / length);
}
