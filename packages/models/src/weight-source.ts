import type { Matrix, MatrixDescription } from '@llm/tensor';

import type { CheckpointFormat, TensorInfo, WeightConversion } from './checkpoint.ts';

/** A matrix and, where it is not what was stored, what became of it. */
export interface LoadedMatrix {
  readonly matrix: Matrix;
  readonly conversion?: WeightConversion;
}

/** The weights of a checkpoint in one format: what a new format has to provide. */
export interface WeightSource extends Disposable {
  readonly format: CheckpointFormat;
  /** By the Hugging Face names of the weights. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What `matrix` makes of a tensor, found out without reading its weights. */
  describe(tensor: TensorInfo): MatrixDescription;
  /** Whether `matrix` cannot use a tensor of two dimensions as it lies. */
  isLaidOutAnew(tensor: TensorInfo): boolean;
  /** A new matrix, owned by the caller. The tensor has two dimensions. */
  matrix(tensor: TensorInfo): LoadedMatrix;
  /** The same, off the event loop where native code lays weights out anew. */
  load(tensor: TensorInfo): Promise<LoadedMatrix>;
  /** All values in order, row-major, as float32, in pieces of bounded size. */
  values(tensor: TensorInfo): Iterable<Float32Array>;
}
