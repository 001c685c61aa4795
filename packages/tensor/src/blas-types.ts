/** Real numbers in single or double precision. */
export type Floats = Float32Array | Float64Array;

/** C = alpha op(A) op(B) + beta C. Matrices are row-major and dense. */
export interface GemmArguments {
  /** Rows of op(A) and C. */
  readonly m: number;
  /** Columns of op(B) and C. */
  readonly n: number;
  /** Columns of op(A), rows of op(B). */
  readonly k: number;
  /** [m, k], or [k, m] with `transposeA`. */
  readonly a: Float32Array;
  /** [k, n], or [n, k] with `transposeB`. */
  readonly b: Float32Array;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Default 1. */
  readonly alpha?: number;
  /** Default 0: what `c` holds does not matter, not even NaN. */
  readonly beta?: number;
  /** [m, n], written in place; a new array if left out. */
  readonly c?: Float32Array;
}

/** C = alpha A Aᵀ + beta C, symmetric: both triangles are written. */
export interface SyrkArguments {
  /** Rows and columns of C. */
  readonly n: number;
  readonly k: number;
  /** [n, k], or [k, n] with `transpose`, which then gives Aᵀ A: a Gram matrix of k rows. */
  readonly a: Float32Array;
  readonly transpose?: boolean;
  /** Default 1. */
  readonly alpha?: number;
  /** Default 0. With another value `c` must be symmetric. */
  readonly beta?: number;
  /** [n, n], written in place; a new array if left out. */
  readonly c?: Float32Array;
}

export interface CholeskyOptions {
  /** Return U with A = Uᵀ U instead of L with A = L Lᵀ. Default false. */
  readonly upper?: boolean;
  /** Writes the result over the matrix. After an error what is in it is undefined. Default false. */
  readonly inPlace?: boolean;
}

export interface TriangleOptions {
  /** The matrix is upper triangular. Default false: lower. The other triangle is not read. */
  readonly upper?: boolean;
  /** Writes the result over the matrix. After an error what is in it is undefined. Default false. */
  readonly inPlace?: boolean;
}

/** op(T) X = B for a triangular T [n, n]. */
export interface TriangularSolveArguments<T extends Floats> extends Pick<TriangleOptions, 'upper'> {
  readonly n: number;
  /** Right-hand sides: columns of B and X. */
  readonly columns: number;
  /** [n, n] */
  readonly a: T;
  /** [n, columns], not changed. */
  readonly b: T;
  /** Solve Tᵀ X = B. Default false. */
  readonly transpose?: boolean;
}

/** How a group of weights is rounded to a grid of 2^bits values, and back. */
export interface FakeQuantization {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns] */
  readonly weights: Float32Array;
  /** 2 to 8. */
  readonly bits: number;
  /** Neighbouring columns that share a grid; the last group of a row may be shorter; -1 for whole rows. */
  readonly groupSize: number;
  /**
   * - `sym`  w = scale (q - 2^(bits-1)), full range: the element of largest magnitude maps to -2^(bits-1), so the scale has a
   *          sign; if both extremes are equally large it is negative
   * - `asym` w = scale (q - zeroPoint) with an integer zero point; 0 is always representable
   *
   * Scales are rounded to half precision before anything is rounded to them; ties go to even codes.
   */
  readonly scheme: 'sym' | 'asym';
  /** V of SignRound, added to w / scale before rounding: [rows, columns]. Default 0. */
  readonly rounding?: Float32Array;
  /** Factors of each group's minimum and maximum, alpha and beta of SignRound: [rows, groups]. Default 1. */
  readonly minimumScale?: Float32Array;
  readonly maximumScale?: Float32Array;
}

/** Arguments of {@link fakeQuantize}. */
export interface FakeQuantizeArguments extends FakeQuantization {
  /** Where the rounded weights go; default new memory. */
  readonly out?: Float32Array;
}

/** Arguments of {@link roundingErrors}. */
export interface RoundingErrorsArguments extends Omit<FakeQuantization, 'rounding'> {
  /** What each column is multiplied by before it is rounded and divided by after: [columns]. Default 1. */
  readonly columnScale?: Float32Array;
  /** Where the errors go; default new memory. */
  readonly out?: Float32Array;
}

export interface FakeQuantizeBackwardArguments extends FakeQuantization {
  /** The loss's gradient with respect to the quantized weights: [rows, columns]. */
  readonly gradient: Float32Array;
  /** Where the gradients go; default new memory. */
  readonly out?: FakeQuantizeGradients;
}

/** Gradients of the loss, rounding taken as the identity where nothing was clipped. */
export interface FakeQuantizeGradients {
  /** [rows, columns] */
  readonly rounding: Float32Array;
  /** [rows, groups] */
  readonly minimumScale: Float32Array;
  /** [rows, groups] */
  readonly maximumScale: Float32Array;
}
