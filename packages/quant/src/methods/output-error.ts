import { sgemm } from '@llm/tensor';

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
  const difference = new Float32Array(weights.length);
  for (let i = 0; i < difference.length; i++) difference[i] = (weights[i] as number) - (quantized[i] as number);
  return quadraticForms(difference, gram, columns);
}

/** δGδᵀ for each row δ [columns] of a matrix and a Gram matrix G [columns, columns]. */
export async function quadraticForms(matrix: Float32Array, gram: Float32Array, columns: number): Promise<Float64Array> {
  const rows = matrix.length / columns;
  const product = await sgemm({ m: rows, n: columns, k: columns, a: matrix, b: gram });
  const forms = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += (product[i] as number) * (matrix[i] as number);
    // Rounding can leave a tiny negative.
    forms[row] = sum < 0 ? 0 : sum;
  }
  return forms;
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
