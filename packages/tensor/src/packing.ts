import { backend } from './backend/load.ts';
import { rethrowTranslated, translateErrors } from './backend/translate-errors.ts';
import { Matrix, nativeShape, packedByteLength, type MatrixDescription, type PackedFormat } from './matrix.ts';
import { Storage } from './storage.ts';

export interface PackedDescription extends MatrixDescription {
  readonly format: PackedFormat;
}

/** A packed matrix as plain row-major arrays; G is the number of groups of a row. */
export interface PlainCodes {
  /** [rows × columns], unsigned, of as many bits as the format has; for `int8` the signed value plus 128. */
  readonly codes: Uint8Array;
  /** [rows × G], rounded to float16 when packed; [rows] float32 for the two-level formats. */
  readonly scales: Float32Array;
  /** [rows × G], with the range of the codes, for the formats named asym. */
  readonly zeroPoints?: Uint8Array;
  /** [rows × G], rounded to float16 when packed, for `int4-min`. */
  readonly minima?: Float32Array;
  /** [rows × G] of 1..16, for `int4-two` and `int4-two-asym`. */
  readonly multipliers?: Uint8Array;
}

/**
 * Lays codes out in the packed order, on all threads, while the caller waits.
 * @throws {@link ShapeMismatchError} if an array has not the size that the description needs
 * @throws {@link InvalidArgumentError} if a value does not fit its field
 */
export function packMatrix(description: PackedDescription, plain: PlainCodes): Matrix {
  const storage = Storage.allocate(packedByteLength(description));
  void startPacking(description, plain, storage, false);
  return Matrix.owning(description, storage);
}

/** {@link packMatrix} off the event loop. The arrays must not change until it is done. */
export async function packMatrixAsync(description: PackedDescription, plain: PlainCodes): Promise<Matrix> {
  const storage = Storage.allocate(packedByteLength(description));
  await Promise.resolve(startPacking(description, plain, storage, true)).catch(rethrowTranslated);
  return Matrix.owning(description, storage);
}

/**
 * The inverse of {@link packMatrix}, exact.
 * @throws {@link InvalidArgumentError} for a dense matrix
 */
export function unpackMatrix(matrix: Matrix): PlainCodes {
  const { rows, columns, groups, format } = matrix;
  const twoLevel = format === 'int4-two' || format === 'int4-two-asym';
  const plain = {
    codes: new Uint8Array(rows * columns),
    scales: new Float32Array(twoLevel ? rows : rows * groups),
    ...(format.endsWith('-asym') ? { zeroPoints: new Uint8Array(rows * groups) } : {}),
    ...(format === 'int4-min' ? { minima: new Float32Array(rows * groups) } : {}),
    ...(twoLevel ? { multipliers: new Uint8Array(rows * groups) } : {}),
  };
  translateErrors(() => {
    backend().addon.unpackMatrix(matrix.handle, ...arraysOf(plain));
  });
  return plain;
}

function startPacking(
  description: PackedDescription,
  plain: PlainCodes,
  storage: Storage,
  later: boolean,
): Promise<number> | number {
  return translateErrors(() =>
    backend().addon.packMatrix(storage.handle, 0, ...nativeShape(description), ...arraysOf(plain), later),
  );
}

function arraysOf({
  codes,
  scales,
  zeroPoints,
  minima,
  multipliers,
}: PlainCodes): [Uint8Array, Float32Array, Uint8Array | undefined, Float32Array | undefined, Uint8Array | undefined] {
  return [codes, scales, zeroPoints, minima, multipliers];
}
