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
  const rows = weights.length / columns;
  const difference = weights.map((w, i) => w - (quantized[i] as number));
  const product = await sgemm({ m: rows, n: columns, k: columns, a: difference, b: gram });
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += (product[i] as number) * (difference[i] as number);
    // Rounding can leave a tiny negative.
    return Math.max(0, sum);
  });
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
