import { importTransposed, importTransposedAsync, Matrix, type DenseFormat, type MatrixDescription } from '@llm/tensor';

import type { CheckpointFormat, TensorInfo } from '../../checkpoint.ts';
import { InvalidWeightError } from '../../errors.ts';
import { decodeElements, isElementType, type ElementType } from '../../number-formats.ts';
import { PIECE_BYTES, piecesOfMatrix } from '../../row-pieces.ts';
import { withShape, type StoredFile } from '../../stored-file.ts';
import type { LoadedMatrix, WeightSource } from '../../weight-source.ts';

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
    const turned = this.#turned(tensor);
    return {
      matrix: turned ? importTransposed(...turned) : new Matrix(description, tensor.storage, tensor.offset),
    };
  }

  async load(tensor: TensorInfo): Promise<LoadedMatrix> {
    const turned = this.#turned(tensor);
    return turned ? { matrix: await importTransposedAsync(...turned) } : this.matrix(tensor);
  }

  *values(tensor: TensorInfo): Iterable<Float32Array> {
    if (this.#transposed.has(tensor.name)) {
      using matrix = this.matrix(tensor).matrix;
      yield* piecesOfMatrix(matrix);
      return;
    }
    const type = this.#type(tensor);
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

  /** What turns a tensor around; undefined if it is used as it lies. */
  #turned(tensor: TensorInfo): Parameters<typeof importTransposed> | undefined {
    if (!this.#transposed.has(tensor.name)) return undefined;
    const { format, rows, columns } = this.describe(tensor);
    return [format as DenseFormat, tensor.storage, tensor.offset, rows, columns];
  }

  #type(tensor: TensorInfo): ElementType {
    if (isElementType(tensor.dtype)) return tensor.dtype;
    throw new InvalidWeightError(this.#path, tensor.name, `is of the unknown type ${tensor.dtype}`);
  }
}
