import type { Matrix, MatrixDescription } from '@llm/tensor';

import type { CheckpointFormat, TensorInfo } from '../../checkpoint.ts';
import { piecesOfMatrix } from '../../row-pieces.ts';
import { importLater, importNow } from '../../weight-import.ts';
import type { LoadedMatrix, WeightSource } from '../../weight-source.ts';
import type { DenseWeights } from '../safetensors/weights.ts';
import { describeLinear, importOfLinear, type LinearDescription } from './import.ts';
import { piecesOfLinear, type QuantizedLinear } from './linear.ts';

/** Weights of another quantizer's checkpoint: linears on integer grids, and everything else dense. */
export class QuantizedWeights implements WeightSource {
  readonly format: CheckpointFormat;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #dense: DenseWeights;
  readonly #linears: ReadonlyMap<string, QuantizedLinear>;
  readonly #descriptions = new Map<QuantizedLinear, LinearDescription>();

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

  describe(tensor: TensorInfo): MatrixDescription {
    const linear = this.#linears.get(tensor.name);
    return linear ? this.#describe(linear) : this.#dense.describe(tensor);
  }

  isLaidOutAnew(tensor: TensorInfo): boolean {
    return this.#linears.has(tensor.name) || this.#dense.isLaidOutAnew(tensor);
  }

  matrix(tensor: TensorInfo): LoadedMatrix {
    const linear = this.#linears.get(tensor.name);
    return linear ? importNow(importOfLinear(linear, this.#describe(linear))) : this.#dense.matrix(tensor);
  }

  load(tensor: TensorInfo): Promise<LoadedMatrix> {
    const linear = this.#linears.get(tensor.name);
    return linear ? importLater(importOfLinear(linear, this.#describe(linear))) : this.#dense.load(tensor);
  }

  *values(tensor: TensorInfo): Iterable<Float32Array> {
    const linear = this.#linears.get(tensor.name);
    if (!linear) {
      yield* this.#dense.values(tensor);
    } else if (this.#describe(linear).format !== 'f16' && linear.stored?.scales.tensor.dtype === 'F16') {
      // The packed matrix has the very same values, and unpacks them natively.
      using matrix: Matrix = this.matrix(tensor).matrix;
      yield* piecesOfMatrix(matrix);
    } else {
      yield* piecesOfLinear(linear);
    }
  }

  [Symbol.dispose](): void {
    this.#dense[Symbol.dispose]();
  }

  /** Found out once: loading asks several times, and every zero point is looked at. */
  #describe(linear: QuantizedLinear): LinearDescription {
    const description = this.#descriptions.get(linear) ?? describeLinear(linear);
    this.#descriptions.set(linear, description);
    return description;
  }
}
