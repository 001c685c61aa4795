import { releaseArrays, rowProducts, sgemm } from '@llm/tensor';
import { dequantizeRows, type QuantizedMatrix } from '../quantized-matrix.ts';

/** Products of whole matrices are made in parts of about so many elements, which are as fast and take little memory. */
export const PART_ELEMENTS: number = 2 ** 21;

/**
 * The squared error of each row's output, δGδᵀ for the row δ of W - W' and the Gram matrix G of the inputs: what GPTQ and AWQ
 * minimise. Weights are [rows, columns].
 */
export async function rowOutputErrors(
  weights: Float32Array,
  quantized: Float32Array,
  gram: Float32Array,
  columns: number,
): Promise<Float64Array> {
  return formsOf(weights.length / columns, gram, columns, (out, begin) => {
    const first = begin * columns;
    for (let i = 0; i < out.length; i++) out[i] = (weights[first + i] as number) - (quantized[first + i] as number);
    return out;
  });
}

/** The same of a quantized matrix, without its weights ever being there as a whole. */
export async function rowErrorsOf(
  matrix: QuantizedMatrix,
  weights: Float32Array,
  gram: Float32Array,
): Promise<Float64Array> {
  const { rows, columns } = matrix;
  return formsOf(rows, gram, columns, (out, begin) => {
    dequantizeRows(matrix, begin, out);
    const first = begin * columns;
    for (let i = 0; i < out.length; i++) out[i] = (weights[first + i] as number) - (out[i] as number);
    return out;
  });
}

/** δGδᵀ for each row δ [columns] of a matrix and a Gram matrix G [columns, columns]. */
export async function quadraticForms(matrix: Float32Array, gram: Float32Array, columns: number): Promise<Float64Array> {
  return formsOf(matrix.length / columns, gram, columns, (out, begin) =>
    matrix.subarray(begin * columns, begin * columns + out.length),
  );
}

/** The sum of {@link rowOutputErrors}: tr(ΔGΔᵀ). */
export async function outputError(
  weights: Float32Array,
  quantized: Float32Array,
  gram: Float32Array,
  columns: number,
): Promise<number> {
  return (await rowOutputErrors(weights, quantized, gram, columns)).reduce((sum, error) => sum + error, 0);
}

/** @param part - gives rows of the matrix from `begin` on; it may put them into `out`, which is as long as they are */
async function formsOf(
  rows: number,
  gram: Float32Array,
  columns: number,
  part: (out: Float32Array, begin: number) => Float32Array,
): Promise<Float64Array> {
  const forms = new Float64Array(rows);
  const step = Math.min(rows, Math.max(1, Math.floor(PART_ELEMENTS / columns)));
  const scratch = new Float32Array(step * columns);
  const products = new Float32Array(step * columns);
  for (let begin = 0; begin < rows; begin += step) {
    const m = Math.min(step, rows - begin);
    const a = part(scratch.subarray(0, m * columns), begin);
    const c = products.subarray(0, m * columns);
    await sgemm({ m, n: columns, k: columns, a, b: gram, c });
    await rowProducts(a, c, forms.subarray(begin, begin + m));
  }
  releaseArrays(scratch, products);
  // Rounding can leave a tiny negative.
  for (let row = 0; row < rows; row++) if ((forms[row] as number) < 0) forms[row] = 0;
  return forms;
}
