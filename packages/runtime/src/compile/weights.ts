import type { DenseFormat, LinearCompute, Matrix, PackedFormat } from '@llm/tensor';

/** What has to be known of a weight to plan with it. */
export interface WeightFormat {
  readonly format: DenseFormat | PackedFormat;
  readonly rows: number;
  readonly columns: number;
  /** Undefined for dense weights. */
  readonly groupSize: number | undefined;
  /** What the model asks for; undefined where it does not care. */
  readonly compute?: LinearCompute;
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

export function isDense({ format }: WeightFormat): boolean {
  return dense.has(format);
}

/** Linears with the same key can share one prepared input, so that they can be one instruction. */
export function preparationKey(weight: WeightFormat, compute: LinearCompute): string {
  return compute === 'int8' ? `${compute} ${weight.format} ${String(weight.groupSize)}` : compute;
}
