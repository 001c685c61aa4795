import type { ComputeDescription, DenseFormat, Matrix, PackedFormat } from '@llm/tensor';

/** What has to be known of a weight to plan with it. */
export interface WeightFormat {
  readonly format: DenseFormat | PackedFormat;
  readonly rows: number;
  readonly columns: number;
  /** Undefined for dense weights. */
  readonly groupSize: number | undefined;
}

export interface RowRange {
  readonly begin: number;
  readonly end: number;
}

/** The weights that a program runs on, by the names that the graph gives them. */
export interface Weights {
  /** Costs nothing: no weight is read or converted for it. */
  format(name: string): WeightFormat;
  /** The matrix, or some of its rows as a matrix of their own. */
  matrix(name: string, rows?: RowRange): Matrix;
  vector(name: string): Float32Array;
}

const dense: ReadonlySet<string> = new Set(['f32', 'f16', 'bf16']);

/** The arithmetic of linears that run together: dense weights are multiplied as float32 whatever is asked for packed ones. */
export function computeOf(weights: readonly WeightFormat[], wanted: 'int8' | 'f32'): ComputeDescription {
  return { type: weights.some(({ format }) => dense.has(format)) ? 'f32' : wanted };
}

/** Linears with the same key can share one prepared input, so that they can be one instruction. */
export function preparationKey(weight: WeightFormat, wanted: 'int8' | 'f32'): string {
  const { type } = computeOf([weight], wanted);
  return type === 'f32' ? type : `${type} ${weight.format} ${String(weight.groupSize)}`;
}
