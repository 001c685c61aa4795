import { packMatrix, type PackedFormat } from '@llm/tensor';

import type { CheckpointFormat, TensorInfo } from '../../checkpoint.ts';
import { largestDifference } from '../../compare-matrix.ts';
import { halfMatrix } from '../../dense-matrix.ts';
import { floatToHalf, halfToFloat } from '../../number-formats.ts';
import type { LoadedMatrix, WeightSource } from '../../weight-source.ts';
import type { DenseWeights } from '../safetensors/weights.ts';
import { dequantizeRows, type QuantizedCodes, type QuantizedLinear } from './linear.ts';

/** Values are handed out in pieces of about so many. */
const PIECE_VALUES = 1 << 20;

/** Weights of another quantizer's checkpoint: linears on integer grids, and everything else dense. */
export class QuantizedWeights implements WeightSource {
  readonly format: CheckpointFormat;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #dense: DenseWeights;
  readonly #linears: ReadonlyMap<string, QuantizedLinear>;

  /** `parts`: names of the tensors that the linears are made of, which are no weights themselves. */
  constructor(
    format: CheckpointFormat,
    dense: DenseWeights,
    linears: readonly QuantizedLinear[],
    parts: ReadonlySet<string>,
  ) {
    this.format = format;
    this.#dense = dense;
    this.#linears = new Map(linears.map((linear) => [linear.info.name, linear]));
    this.tensors = new Map([
      ...[...dense.tensors].filter(([name]) => !parts.has(name)),
      ...linears.map(({ info }) => [info.name, info] as const),
    ]);
  }

  matrix(tensor: TensorInfo): LoadedMatrix {
    const linear = this.#linears.get(tensor.name);
    if (!linear) return this.#dense.matrix(tensor);
    const codes = linear.load();
    const format = packedFormat(codes);
    const matrix = format ? pack(format, codes) : halfMatrix(codes.rows, codes.columns, () => pieces(codes));
    // Packed codes are the same integers: only scales that are no float16 change anything.
    const exact = format !== undefined && codes.scales.every((scale) => halfToFloat(floatToHalf(scale)) === scale);
    const largestError = exact ? 0 : largestDifference(matrix, pieces(codes));
    return {
      matrix,
      conversion: { from: tensor.dtype, to: matrix.format, lossless: largestError === 0, largestError },
    };
  }

  *values(tensor: TensorInfo): Iterable<Float32Array> {
    const linear = this.#linears.get(tensor.name);
    if (linear) yield* pieces(linear.load());
    else yield* this.#dense.values(tensor);
  }

  [Symbol.dispose](): void {
    this.#dense[Symbol.dispose]();
  }
}

/** The packed grid that holds the codes as they are; undefined where there is none. */
function packedFormat({ bits, columns, groupSize, zeroPoints, groupOf }: QuantizedCodes): PackedFormat | undefined {
  const sound = groupSize >= columns || (groupSize % 8 === 0 && groupSize >= 32 && groupSize <= 1024);
  if (!sound || groupOf) return undefined;
  if (bits === 8) return zeroPoints.every((zero) => zero === 128) ? 'int8' : undefined;
  if (bits > 4) return undefined;
  if (zeroPoints.every((zero) => zero === 8)) return 'int4-sym';
  return zeroPoints.every((zero) => zero <= 15) ? 'int4-asym' : undefined;
}

function pack(format: PackedFormat, linear: QuantizedCodes): LoadedMatrix['matrix'] {
  const { rows, columns, groupSize, codes, scales, zeroPoints } = linear;
  const description = { format, rows, columns, ...(groupSize < columns && { groupSize }) };
  const zeros = format === 'int4-asym' ? { zeroPoints: Uint8Array.from(zeroPoints) } : {};
  return packMatrix(description, { codes, scales, ...zeros });
}

function* pieces(linear: QuantizedCodes): Iterable<Float32Array> {
  const step = Math.max(1, Math.floor(PIECE_VALUES / linear.columns));
  for (let row = 0; row < linear.rows; row += step) {
    yield dequantizeRows(linear, row, Math.min(linear.rows, row + step));
  }
}
