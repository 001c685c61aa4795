import { importGguf, Matrix, packMatrix, type DenseFormat } from '@llm/tensor';

import type { GgufMapping, HfConfig } from '../../architecture.ts';
import type { TensorInfo, WeightConversion } from '../../checkpoint.ts';
import { largestDifference } from '../../compare-matrix.ts';
import { denseMatrix, halfMatrix } from '../../dense-matrix.ts';
import { InvalidWeightError } from '../../errors.ts';
import { elementCount } from '../../number-formats.ts';
import { storedTensor, type StoredFile } from '../../stored-file.ts';
import type { LoadedMatrix, WeightSource } from '../../weight-source.ts';
import { dequantize } from './dequantize.ts';
import type { GgufTensor } from './header.ts';
import { REGROUPED_SIZE, regroup } from './regroup.ts';

/** Values are handed out in pieces of about so many. */
const PIECE_VALUES = 1 << 20;

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

  matrix(info: TensorInfo): LoadedMatrix {
    const { tensor, rowOrder, offset } = this.#get(info);
    const [rows, columns] = tensor.shape as [number, number];
    const from = tensor.type.name;
    const dense = denseFormats[from];
    if (dense && offset === 0) {
      if (!rowOrder) return { matrix: new Matrix({ format: dense, rows, columns }, info.storage, info.offset) };
      return { matrix: denseMatrix(dense, rows, columns, this.#rows(info, 0, rows)) };
    }
    if (from === 'Q4_0' || from === 'Q4_1' || from === 'Q8_0') {
      const matrix = importGguf(from, info.storage, info.offset, rows, columns, rowOrder ? { rowOrder } : {});
      return converted(from, matrix, 0);
    }
    const regrouped = regroup(tensor.type, this.#rows(info, 0, rows));
    if (regrouped) {
      const { format, plain, lossless } = regrouped;
      const matrix = packMatrix({ format, rows, columns, groupSize: REGROUPED_SIZE }, plain);
      return converted(from, matrix, lossless ? 0 : largestDifference(matrix, this.values(info)));
    }
    const matrix = halfMatrix(rows, columns, () => this.values(info));
    return converted(from, matrix, largestDifference(matrix, this.values(info)));
  }

  *values(info: TensorInfo): Iterable<Float32Array> {
    const { tensor, offset } = this.#get(info);
    const rows = this.#rowCount(info);
    const step = Math.max(1, Math.floor(PIECE_VALUES / (elementCount(tensor.shape) / rows)));
    for (let row = 0; row < rows; row += step) {
      const values = dequantize(tensor.type, this.#rows(info, row, Math.min(rows, row + step)));
      yield offset === 0 ? values : values.map((value) => value - offset);
    }
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
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

function converted(from: string, matrix: Matrix, largestError: number): LoadedMatrix {
  const conversion: WeightConversion = { from, to: matrix.format, lossless: largestError === 0, largestError };
  return { matrix, conversion };
}
