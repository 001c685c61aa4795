import type { Floats } from '../blas-types.ts';

/** Sizes and inputs that both directions of fake quantization begin with. */
export type FakeQuantizeInputs = [
  rows: number,
  columns: number,
  bits: number,
  groupLength: number,
  symmetric: boolean,
  weights: Float32Array,
  rounding: Float32Array | undefined,
  minimumScale: Float32Array | undefined,
  maximumScale: Float32Array | undefined,
];

/** native/addon/blas_binding.cc. Results are written into the last arrays. */
export interface BlasCalls {
  gemm(
    isa: string,
    m: number,
    n: number,
    k: number,
    a: Float32Array,
    transposeA: boolean,
    b: Float32Array,
    transposeB: boolean,
    alpha: number,
    beta: number,
    c: Float32Array,
  ): Promise<void>;
  syrk(
    isa: string,
    n: number,
    k: number,
    a: Float32Array,
    transpose: boolean,
    alpha: number,
    beta: number,
    c: Float32Array,
  ): Promise<void>;
  cholesky(isa: string, n: number, a: Floats, upper: boolean): Promise<void>;
  invertTriangular(isa: string, n: number, a: Floats, upper: boolean): Promise<void>;
  invertSymmetric(isa: string, n: number, a: Floats): Promise<void>;
  solveTriangular(
    isa: string,
    n: number,
    columns: number,
    a: Floats,
    upper: boolean,
    transpose: boolean,
    b: Floats,
  ): Promise<void>;
  fakeQuantize(...inputs: [...FakeQuantizeInputs, out: Float32Array]): Promise<void>;
  roundingErrors(
    ...inputs: [...FakeQuantizeInputs, columnScale: Float32Array | undefined, out: Float32Array]
  ): Promise<void>;
  fakeQuantizeBackward(
    ...inputs: [
      ...FakeQuantizeInputs,
      gradient: Float32Array,
      ofRounding: Float32Array,
      ofMinimumScale: Float32Array,
      ofMaximumScale: Float32Array,
    ]
  ): Promise<void>;
}
