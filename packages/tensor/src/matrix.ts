import { backend } from './backend/load.ts';
import type { MatrixHandle } from './backend/matrix-calls.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { DisposedError, InvalidArgumentError, ShapeMismatchError } from './errors.ts';
import { Storage } from './storage.ts';

export type DenseFormat = 'f32' | 'f16' | 'bf16';

/**
 * Blocks of low-bit codes q with a scale per group of K; docs/formats/packed.md has them byte for byte.
 *
 * - `int4-sym`: w = s (q - 8)
 * - `int4-asym`: w = s (q - z), z an integer of 0..15 per group
 * - `int4-min`: w = s q + m, a free minimum per group
 * - `int4-two`: w = S u (q - 8), one float32 scale S per row and a multiplier u of 1..16 per group
 * - `int4-two-asym`: w = S u (q - z)
 * - `int8`: w = s (q - 128)
 * - `int2-sym`, `int3-sym`: w = s (q - 2), s (q - 4); `int2-asym`, `int3-asym`: w = s (q - z)
 *
 * s and m are float16.
 */
export type PackedFormat =
  | 'int4-sym'
  | 'int4-asym'
  | 'int4-min'
  | 'int4-two'
  | 'int4-two-asym'
  | 'int8'
  | 'int2-sym'
  | 'int2-asym'
  | 'int3-sym'
  | 'int3-asym';

export type MatrixFormat = DenseFormat | PackedFormat;

export interface MatrixDescription {
  readonly format: MatrixFormat;
  /** Outputs of the linear layer. */
  readonly rows: number;
  /** Inputs, the dimension K that groups run along. */
  readonly columns: number;
  /** Values of K under one scale, a multiple of 8. Default, and from `columns` on: the whole row. Dense formats have none. */
  readonly groupSize?: number;
}

/**
 * The bytes that a matrix takes; a multiple of 64 for packed formats.
 * @throws {@link InvalidArgumentError} if there is no such matrix
 */
export function packedByteLength(description: MatrixDescription): number {
  return translateErrors(() => backend().addon.matrixByteLength(...nativeShape(description)));
}

/** A weight matrix of one linear layer or embedding, dense or packed, seen in place: it copies nothing. */
export class Matrix implements Disposable {
  readonly format: MatrixFormat;
  readonly rows: number;
  readonly columns: number;
  /** Values of K under one scale; undefined for dense formats. */
  readonly groupSize: number | undefined;
  readonly byteLength: number;
  readonly #storage: Storage;
  readonly #offset: number;
  #ownsStorage = false;
  #handle: MatrixHandle | undefined;

  /**
   * @param storage - holds the bytes from `offset` on; the matrix keeps them alive
   * @param offset - a multiple of 64 for packed formats
   * @throws {@link InvalidArgumentError} if there is no such matrix or it is not all inside the storage
   */
  constructor(description: MatrixDescription, storage: Storage, offset = 0) {
    const shape = nativeShape(description);
    this.byteLength = packedByteLength(description);
    this.#handle = translateErrors(() => backend().addon.createMatrix(storage.handle, offset, ...shape));
    this.#storage = storage;
    this.#offset = offset;
    this.format = description.format;
    this.rows = description.rows;
    this.columns = description.columns;
    this.groupSize = isDense(description.format) ? undefined : groupSizeOf(description);
  }

  /** A matrix that nothing else shares the storage of: disposing it frees the bytes at once. */
  static owning(description: MatrixDescription, storage: Storage): Matrix {
    const matrix = new Matrix(description, storage);
    matrix.#ownsStorage = true;
    return matrix;
  }

  /** A dense float32 matrix with a copy of row-major values. */
  static fromFloat32(values: Float32Array, rows: number, columns: number): Matrix {
    if (values.length !== rows * columns)
      throw new ShapeMismatchError(
        `${String(rows)} x ${String(columns)} values were expected, not ${String(values.length)}.`,
      );
    const storage = Storage.allocate(values.byteLength);
    storage.write(0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return Matrix.owning({ format: 'f32', rows, columns }, storage);
  }

  get disposed(): boolean {
    return this.#handle === undefined;
  }

  /**
   * What native calls take.
   * @throws {@link DisposedError}
   */
  get handle(): MatrixHandle {
    if (this.#handle === undefined) throw new DisposedError('matrix');
    return this.#handle;
  }

  /** Groups of K in a row; 0 for dense formats. */
  get groups(): number {
    return this.groupSize === undefined ? 0 : Math.ceil(this.columns / this.groupSize);
  }

  /**
   * Rows [rowBegin, rowEnd) as a matrix of their own, seen in the same memory.
   * @throws {@link InvalidArgumentError} where packed rows do not begin, or end before the last, at a multiple of 32
   */
  rowRange(rowBegin: number, rowEnd: number): Matrix {
    const { format, columns, rows, groupSize } = this;
    const aligned = isDense(format) || (rowBegin % blockRows === 0 && (rowEnd % blockRows === 0 || rowEnd === rows));
    if (!(aligned && rowBegin >= 0 && rowBegin < rowEnd && rowEnd <= rows))
      throw new InvalidArgumentError(`Rows ${rowBegin} to ${rowEnd} of ${rows} are no matrix of their own.`);
    const shape = { format, columns, ...(groupSize !== undefined && { groupSize }) };
    const before = rowBegin === 0 ? 0 : packedByteLength({ ...shape, rows: rowBegin });
    return new Matrix({ ...shape, rows: rowEnd - rowBegin }, this.#storage, this.#offset + before);
  }

  /** Rows [rowBegin, rowEnd) as float32, row-major; by default all. */
  toFloat32(rowBegin = 0, rowEnd: number = this.rows): Float32Array<ArrayBuffer> {
    const inside = Number.isInteger(rowBegin) && Number.isInteger(rowEnd) && 0 <= rowBegin && rowBegin <= rowEnd;
    if (!inside || rowEnd > this.rows)
      throw new InvalidArgumentError(
        `Rows ${String(rowBegin)} to ${String(rowEnd)} are not in a matrix of ${String(this.rows)} rows.`,
      );
    const values = new Float32Array((rowEnd - rowBegin) * this.columns);
    translateErrors(() => {
      backend().addon.dequantizeMatrix(this.handle, rowBegin, rowEnd, values);
    });
    return values;
  }

  /** A copy of the bytes as they are stored. */
  bytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.byteLength);
    this.readInto(bytes);
    return bytes;
  }

  /**
   * Copies the bytes from `offset` on, as many as the target has.
   * @throws {@link InvalidArgumentError} if there are not so many
   */
  readInto(target: Uint8Array, offset = 0): void {
    translateErrors(() => {
      backend().addon.readMatrix(this.handle, offset, target);
    });
  }

  [Symbol.dispose](): void {
    if (this.#handle === undefined) return;
    backend().addon.disposeMatrix(this.#handle);
    this.#handle = undefined;
    if (this.#ownsStorage) this.#storage[Symbol.dispose]();
  }
}

/** Rows of a packed block, which lies in memory as a whole. */
const blockRows = 32;

function isDense(format: MatrixFormat): format is DenseFormat {
  return format === 'f32' || format === 'f16' || format === 'bf16';
}

function groupSizeOf({ columns, groupSize }: MatrixDescription): number {
  return groupSize === undefined || groupSize > columns ? columns : groupSize;
}

/** The arguments by which native calls know a matrix. */
export function nativeShape(
  description: MatrixDescription,
): [format: string, rows: number, columns: number, groupSize: number] {
  const { format, rows, columns, groupSize } = description;
  const counts = [rows, columns, ...(groupSize === undefined ? [] : [groupSize])];
  if (!counts.every((count) => Number.isInteger(count) && count > 0))
    throw new InvalidArgumentError(
      `A matrix needs positive whole numbers, not ${counts.map(String).join(', ')} (rows, columns, groupSize).`,
    );
  const group = isDense(format) ? columns : groupSizeOf(description);
  return [format, rows, columns, group === columns ? 0 : group];
}
