export type DenseFormat = 'f32' | 'f16' | 'bf16';
export type PackedFormat = 'int4-sym' | 'int4-asym' | 'int4-min' | 'int4-two' | 'int4-two-asym' | 'int8';

/** A weight matrix of one linear or embedding, rows = outputs, columns = inputs. */
export interface Matrix {
  readonly format: DenseFormat | PackedFormat;
  readonly rows: number;
  readonly columns: number;
}
