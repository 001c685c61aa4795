import {
  ggufMatrix,
  importGguf,
  importGgufAsync,
  Matrix,
  type DenseFormat,
  type GgufBlockType,
  type MatrixDescription,
} from '@llm/tensor';

import type { GgufMapping, HfConfig } from '../../architecture.ts';
import type { TensorInfo } from '../../checkpoint.ts';
import { largestDifference } from '../../compare-matrix.ts';
import { denseMatrix, halfMatrix } from '../../dense-matrix.ts';
import { InvalidWeightError } from '../../errors.ts';
import { elementCount } from '../../number-formats.ts';
import { rowPieces } from '../../row-pieces.ts';
import { storedTensor, type StoredFile } from '../../stored-file.ts';
import { converted, importLater, importNow, type WeightImport } from '../../weight-import.ts';
import type { LoadedMatrix, WeightSource } from '../../weight-source.ts';
import { dequantize } from './dequantize.ts';
import type { GgufTensor } from './header.ts';

const denseFormats: Readonly<Record<string, DenseFormat>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

interface Mapped {
  readonly tensor: GgufTensor;
  /** Row r of the weight is row `order[r]` of the file. */
  readonly rowOrder: Int32Array | undefined;
  /** What the file's values have more. */
  readonly offset: number;
}

/** The weights of a GGUF file under their Hugging Face names, with the rows in Hugging Face's order. */
export class GgufWeights implements WeightSource {
  readonly format = 'gguf';
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #file: StoredFile;
  readonly #mapped = new Map<string, Mapped>();

  constructor(file: StoredFile, tensors: readonly GgufTensor[], mapping: GgufMapping, config: HfConfig) {
    this.#file = file;
    const infos = new Map<string, TensorInfo>();
    for (const tensor of tensors) {
      const name = checkpointName(tensor.name, mapping);
      if (name === undefined) continue;
      const { type, shape, offset, byteLength } = tensor;
      infos.set(name, storedTensor(file, { name, dtype: type.name, shape, offset, byteLength }));
      const rowOrder = mapping.rowOrder?.(name, config);
      if (rowOrder && rowOrder.length !== shape[0]) {
        const reason = `has ${shape[0] ?? 0} rows where the metadata say ${rowOrder.length}`;
        throw new InvalidWeightError(file.path, name, reason);
      }
      this.#mapped.set(name, { tensor, rowOrder, offset: mapping.offset?.(name) ?? 0 });
    }
    this.tensors = infos;
  }

  describe(info: TensorInfo): MatrixDescription {
    const { tensor, offset } = this.#get(info);
    const [rows, columns] = tensor.shape as [number, number];
    const type = tensor.type.name;
    const dense = denseFormats[type];
    if (dense && offset === 0) return { format: dense, rows, columns };
    const imported = offset === 0 ? ggufMatrix(type, rows, columns) : undefined;
    return imported ?? { format: 'f16', rows, columns };
  }

  isLaidOutAnew(info: TensorInfo): boolean {
    const { tensor, rowOrder, offset } = this.#get(info);
    return rowOrder !== undefined || offset !== 0 || denseFormats[tensor.type.name] === undefined;
  }

  matrix(info: TensorInfo): LoadedMatrix {
    const weight = this.#import(info);
    return weight ? importNow(weight) : this.#dense(info);
  }

  async load(info: TensorInfo): Promise<LoadedMatrix> {
    const weight = this.#import(info);
    return weight ? importLater(weight) : this.#dense(info);
  }

  *values(info: TensorInfo): Iterable<Float32Array> {
    const { tensor, offset } = this.#get(info);
    const rows = this.#rowCount(info);
    for (const [begin, end] of rowPieces(rows, elementCount(tensor.shape) / rows)) {
      const values = dequantize(tensor.type, this.#rows(info, begin, end));
      yield offset === 0 ? values : values.map((value) => value - offset);
    }
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  /** Undefined for tensors without blocks. */
  #import(info: TensorInfo): WeightImport | undefined {
    const { tensor, rowOrder, offset: added } = this.#get(info);
    const type = tensor.type.name as GgufBlockType;
    const [rows, columns] = tensor.shape as [number, number];
    const description = added === 0 ? ggufMatrix(type, rows, columns) : undefined;
    if (!description) return undefined;
    const { storage, offset } = info;
    const source = [type, storage, offset, rows, columns, rowOrder ? { rowOrder } : {}] as const;
    return {
      from: type,
      description,
      now: () => importGguf(...source),
      later: () => importGgufAsync(...source),
      values: () => this.values(info),
    };
  }

  /** Numbers as they lie; as float16 where they are of another type or have something added to them. */
  #dense(info: TensorInfo): LoadedMatrix {
    const { tensor, rowOrder, offset } = this.#get(info);
    const [rows, columns] = tensor.shape as [number, number];
    const dense = denseFormats[tensor.type.name];
    if (dense && offset === 0) {
      if (!rowOrder) return { matrix: new Matrix({ format: dense, rows, columns }, info.storage, info.offset) };
      return { matrix: denseMatrix(dense, rows, columns, this.#rows(info, 0, rows)) };
    }
    const matrix = halfMatrix(rows, columns, () => this.values(info));
    return converted(tensor.type.name, matrix, largestDifference(matrix, this.values(info)));
  }

  #get(info: TensorInfo): Mapped {
    const mapped = this.#mapped.get(info.name);
    if (!mapped) throw new InvalidWeightError(this.#file.path, info.name, 'is not of this file');
    return mapped;
  }

  /** Rows that can be read one by one: single values in a vector whose order changes. */
  #rowCount(info: TensorInfo): number {
    const { tensor, rowOrder } = this.#get(info);
    const whole = tensor.shape.length === 1 && !rowOrder;
    return whole ? 1 : elementCount(tensor.shape.length === 1 ? tensor.shape : tensor.shape.slice(0, -1));
  }

  /** The bytes of rows [begin, end) in the checkpoint's order. */
  #rows(info: TensorInfo, begin: number, end: number): Uint8Array {
    const { rowOrder } = this.#get(info);
    const rowBytes = info.byteLength / this.#rowCount(info);
    const { storage, offset } = info;
    if (!rowOrder) return storage.read(offset + begin * rowBytes, (end - begin) * rowBytes);
    const bytes = new Uint8Array((end - begin) * rowBytes);
    rowOrder.subarray(begin, end).forEach((row, i) => {
      bytes.set(storage.read(offset + row * rowBytes, rowBytes), i * rowBytes);
    });
    return bytes;
  }
}

/** `blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`. Undefined for tensors that no checkpoint has. */
function checkpointName(name: string, mapping: GgufMapping): string | undefined {
  const layer = /^blk\.(\d+)\./u.exec(name)?.[1];
  const pattern = layer === undefined ? name : name.replace(/^blk\.\d+/u, 'blk.#');
  return Object.hasOwn(mapping.tensors, pattern) ? mapping.tensors[pattern]?.replace('#', layer ?? '') : undefined;
}
