import type { Matrix, MatrixDescription } from '@llm/tensor';

import type { CheckpointFormat, TensorInfo, WeightConversion } from './checkpoint.ts';

/** A matrix and, where it is not what was stored, what became of it. */
export interface LoadedMatrix {
  readonly matrix: Matrix;
  readonly conversion?: WeightConversion;
}

/** Whether a weight is a matrix that cannot be used as it lies. */
export function isLaidOutAnew(weights: WeightSource, tensor: TensorInfo): boolean {
  return tensor.shape.length === 2 && weights.describe(tensor).format !== tensor.dtype.toLowerCase();
}

/** The weights of a checkpoint in one format: what a new format has to provide. */
export interface WeightSource extends Disposable {
  readonly format: CheckpointFormat;
  /** By the Hugging Face names of the weights. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What `matrix` makes of a tensor, found out without reading its weights. */
  describe(tensor: TensorInfo): MatrixDescription;
  /** A new matrix, owned by the caller. The tensor has two dimensions. */
  matrix(tensor: TensorInfo): LoadedMatrix;
  /** The same, off the event loop wherever weights have to be laid out anew. */
  load(tensor: TensorInfo): Promise<LoadedMatrix>;
  /** All values in order, row-major, as float32, in pieces of bounded size. */
  values(tensor: TensorInfo): Iterable<Float32Array>;
}
