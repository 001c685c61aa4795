import { Matrix, packedByteLength, type MatrixDescription, type MatrixFormat } from '@llm/tensor';

import type { TensorInfo } from '../../checkpoint.ts';
import { CorruptFileError, InvalidWeightError } from '../../errors.ts';
import { parseJson } from '../../read-file.ts';
import { piecesOfMatrix } from '../../row-pieces.ts';
import { withShape } from '../../stored-file.ts';
import type { LoadedMatrix, WeightSource } from '../../weight-source.ts';
import type { DenseWeights } from '../safetensors/weights.ts';

/** The key of a file's metadata that describes its packed tensors: a JSON map from their names to `MatrixDescription`s. */
export const PACKED_METADATA = 'llm.packed';

/** Where packed bytes must start. */
const ALIGNMENT = 64;

const formats: readonly MatrixFormat[] = [
  ...(['int4-sym', 'int4-asym', 'int4-min', 'int4-two', 'int4-two-asym', 'int8'] as const),
  ...(['int2-sym', 'int2-asym', 'int3-sym', 'int3-asym'] as const),
];

/** Weights in our own packed layout, used where they lie, among dense ones. */
export class PackedWeights implements WeightSource {
  readonly format = 'packed';
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #path: string;
  readonly #dense: DenseWeights;
  readonly #packed = new Map<string, MatrixDescription>();

  /** `metadata`: that of every file. Throws `CorruptFileError` where it does not fit the tensors. */
  constructor(path: string, dense: DenseWeights, metadata: ReadonlyMap<string, Readonly<Record<string, string>>>) {
    this.#path = path;
    this.#dense = dense;
    const tensors = new Map(dense.tensors);
    for (const [file, { [PACKED_METADATA]: json }] of metadata) {
      if (json === undefined) continue;
      for (const [name, entry] of Object.entries(parseDescriptions(path, file, json))) {
        const tensor = tensors.get(name);
        if (!tensor) throw new CorruptFileError(path, 0, `${file} describes a packed tensor ${name} that is not there`);
        const description = this.#check(tensor, entry);
        this.#packed.set(name, description);
        const shape = [description.rows, description.columns];
        tensors.set(name, withShape(tensor, shape, description.format));
      }
    }
    this.tensors = tensors;
  }

  describe(tensor: TensorInfo): MatrixDescription {
    return this.#packed.get(tensor.name) ?? this.#dense.describe(tensor);
  }

  isLaidOutAnew(tensor: TensorInfo): boolean {
    return this.#dense.isLaidOutAnew(tensor);
  }

  matrix(tensor: TensorInfo): LoadedMatrix {
    const description = this.#packed.get(tensor.name);
    if (!description) return this.#dense.matrix(tensor);
    return { matrix: new Matrix(description, tensor.storage, tensor.offset) };
  }

  load(tensor: TensorInfo): Promise<LoadedMatrix> {
    return Promise.resolve(this.matrix(tensor));
  }

  *values(tensor: TensorInfo): Iterable<Float32Array> {
    if (!this.#packed.has(tensor.name)) {
      yield* this.#dense.values(tensor);
      return;
    }
    using matrix = this.matrix(tensor).matrix;
    yield* piecesOfMatrix(matrix);
  }

  [Symbol.dispose](): void {
    this.#dense[Symbol.dispose]();
  }

  #check(tensor: TensorInfo, entry: unknown): MatrixDescription {
    const fail = (reason: string): never => {
      throw new InvalidWeightError(this.#path, tensor.name, reason);
    };
    const { format, rows, columns, groupSize } = (entry ?? {}) as Partial<Record<string, unknown>>;
    const known = formats.find((name) => name === format);
    if (!known) return fail(`has the packed format ${JSON.stringify(format)}; known are ${formats.join(', ')}`);
    for (const size of [rows, columns, groupSize ?? 1]) {
      if (!Number.isSafeInteger(size) || (size as number) < 1)
        return fail('has sizes that are no whole numbers above 0');
    }
    const description: MatrixDescription = {
      format: known,
      rows: rows as number,
      columns: columns as number,
      groupSize: (groupSize ?? columns) as number,
    };
    const needed = packedByteLength(description);
    if (tensor.dtype !== 'U8' || tensor.byteLength !== needed) {
      return fail(`is ${tensor.dtype} of ${tensor.byteLength} bytes where U8 of ${needed} bytes is described`);
    }
    if (tensor.offset % ALIGNMENT !== 0) return fail(`starts at byte ${tensor.offset}, no multiple of ${ALIGNMENT}`);
    return description;
  }
}

function parseDescriptions(path: string, file: string, json: string): object {
  const value = parseJson(`${path}/${file}`, 8, new TextEncoder().encode(json));
  if (typeof value === 'object' && value !== null) return value;
  throw new CorruptFileError(path, 8, `${file}: the metadata ${PACKED_METADATA} is not an object`);
}
