import { Matrix, Storage, type DenseFormat, type MatrixDescription } from '@llm/tensor';

import type { CheckpointFormat, TensorInfo } from '../../checkpoint.ts';
import { InvalidWeightError } from '../../errors.ts';
import { decodeElements, elementBytes, isElementType, type ElementType } from '../../number-formats.ts';
import { withShape, type StoredFile } from '../../stored-file.ts';
import type { LoadedMatrix, WeightSource } from '../../weight-source.ts';

/** Values are handed out in pieces of about this size. */
const PIECE_BYTES = 4 << 20;

const denseFormats: Partial<Record<ElementType, DenseFormat>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

/** Weights as plain arrays of numbers, in one file or several. */
export class DenseWeights implements WeightSource {
  readonly format: CheckpointFormat;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #path: string;
  readonly #files: readonly StoredFile[];
  readonly #transposed: ReadonlySet<string>;

  /** `isTransposed`: whether a matrix is stored as [inputs, outputs]; it is handed out as [outputs, inputs] all the same. */
  constructor(
    path: string,
    files: readonly StoredFile[],
    tensors: Iterable<TensorInfo>,
    isTransposed: (name: string) => boolean,
    format: CheckpointFormat = 'safetensors',
  ) {
    this.format = format;
    this.#path = path;
    this.#files = files;
    const stored = [...tensors];
    const turned = stored.filter(({ name, shape }) => shape.length === 2 && isTransposed(name));
    this.#transposed = new Set(turned.map(({ name }) => name));
    this.tensors = new Map(stored.map((tensor) => [tensor.name, this.#seen(tensor)]));
  }

  describe(tensor: TensorInfo): MatrixDescription {
    const type = this.#type(tensor);
    const format = denseFormats[type];
    if (!format) throw new InvalidWeightError(this.#path, tensor.name, `is ${type}, not a matrix of F32, F16 or BF16`);
    const [rows, columns] = tensor.shape as [number, number];
    return { format, rows, columns };
  }

  isLaidOutAnew(tensor: TensorInfo): boolean {
    return this.#transposed.has(tensor.name);
  }

  matrix(tensor: TensorInfo): LoadedMatrix {
    const description = this.describe(tensor);
    if (!this.#transposed.has(tensor.name)) {
      return { matrix: new Matrix(description, tensor.storage, tensor.offset) };
    }
    const storage = Storage.allocate(tensor.byteLength);
    storage.write(0, this.#turned(tensor, elementBytes[this.#type(tensor)]));
    return { matrix: Matrix.owning(description, storage) };
  }

  load(tensor: TensorInfo): Promise<LoadedMatrix> {
    return Promise.resolve(this.matrix(tensor));
  }

  *values(tensor: TensorInfo): Iterable<Float32Array> {
    const type = this.#type(tensor);
    if (this.#transposed.has(tensor.name)) {
      yield decodeElements(type, this.#turned(tensor, elementBytes[type]));
      return;
    }
    for (let done = 0; done < tensor.byteLength; done += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, tensor.byteLength - done);
      yield decodeElements(type, tensor.storage.read(tensor.offset + done, length));
    }
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }

  /** The tensor with the shape in which it is handed out. */
  #seen(tensor: TensorInfo): TensorInfo {
    if (!this.#transposed.has(tensor.name)) return tensor;
    return withShape(tensor, tensor.shape.toReversed());
  }

  #turned(tensor: TensorInfo, size: number): Uint8Array {
    const [rows, columns] = tensor.shape as [number, number];
    return transpose(tensor.storage.read(tensor.offset, tensor.byteLength), columns, rows, size);
  }

  #type(tensor: TensorInfo): ElementType {
    if (isElementType(tensor.dtype)) return tensor.dtype;
    throw new InvalidWeightError(this.#path, tensor.name, `is of the unknown type ${tensor.dtype}`);
  }
}

function transpose(bytes: Uint8Array, rows: number, columns: number, size: number): Uint8Array {
  const result = new Uint8Array(bytes.byteLength);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const from = (row * columns + column) * size;
      const to = (column * rows + row) * size;
      for (let i = 0; i < size; i++) result[to + i] = bytes[from + i] as number;
    }
  }
  return result;
}
