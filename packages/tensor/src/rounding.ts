import { backend } from './backend/load.ts';
import { rethrowTranslated } from './backend/translate-errors.ts';
import { InvalidOptionError } from './errors.ts';
import { Matrix, nativeShape, packedByteLength, type PackedFormat } from './matrix.ts';
import { checkOptions } from './options.ts';
import { Storage } from './storage.ts';

/** The formats that weights can be rounded to without a search: a scale per group and a fixed or an integer zero. */
export type RoundedFormat = Exclude<PackedFormat, 'int4-min' | 'int4-two' | 'int4-two-asym'>;

export interface RoundOptions {
  readonly format: RoundedFormat;
  /** Values of K under one scale, a multiple of 8; default: the whole row. */
  readonly groupSize?: number;
  readonly signal?: AbortSignal;
}

const formats: readonly RoundedFormat[] = [
  ...(['int4-sym', 'int4-asym', 'int8', 'int2-sym', 'int2-asym', 'int3-sym', 'int3-asym'] as const),
];

/** Values rounded between two looks at the signal. */
const valuesAtOnce = 2 ** 24;
const blockRows = 32;

/**
 * Rounds a matrix, dense or packed, to the nearest codes of a packed format (RTN), on the pool and off the event loop.
 *
 * Scales are rounded to float16 before any code is chosen. Symmetric formats are full range: the weight of largest magnitude
 * of a group is -2^(bits - 1), for which its scale may be negative. Asymmetric ones always hold 0 exactly.
 * @throws {@link InvalidArgumentError} for a weight that is not a finite number, or the reason of the signal
 */
export async function roundMatrix(matrix: Matrix, options: RoundOptions): Promise<Matrix> {
  checkOptions(options, ['format', 'groupSize', 'signal'], 'roundMatrix()');
  const { format, groupSize, signal } = options;
  if (!formats.includes(format)) throw new InvalidOptionError('format', format, formats);
  signal?.throwIfAborted();
  const { rows, columns } = matrix;
  const description = { format, rows, columns, ...(groupSize !== undefined && { groupSize }) };
  const storage = Storage.allocate(packedByteLength(description));
  try {
    const step = Math.ceil(valuesAtOnce / columns / blockRows) * blockRows;
    for (let begin = 0; begin < rows; begin += step) {
      const range = [begin, Math.min(rows, begin + step)] as const;
      await backend()
        .addon.roundMatrix(matrix.handle, storage.handle, ...nativeShape(description), ...range)
        .catch(rethrowTranslated);
      signal?.throwIfAborted();
    }
    return Matrix.owning(description, storage);
  } catch (error) {
    storage[Symbol.dispose]();
    throw error;
  }
}
