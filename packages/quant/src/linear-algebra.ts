import { cholesky, invertTriangular, syrk } from '@llm/tensor';

/** gram += XᵀX for X [rows, columns]. */
export async function addGram(gram: Float32Array, x: Float32Array, columns: number): Promise<void> {
  await syrk({ n: columns, k: x.length / columns, a: x, transpose: true, beta: 1, c: gram });
}

/**
 * The upper triangular U with UᵀU = H⁻¹ for a symmetric positive definite H [n, n], from one Cholesky factorization and one
 * inversion of a triangle: with the order of rows and columns reversed (J), JHJ = LLᵀ, so that U = J L⁻¹ J.
 * @param reversed - JHJ, which is the array of H from its end; its memory is that of the result, and undefined after an error
 * @throws SingularMatrixError
 */
export async function inverseFactorOfReversed(reversed: Float32Array, n: number): Promise<Float32Array> {
  await cholesky(reversed, n, { inPlace: true });
  await invertTriangular(reversed, n, { inPlace: true });
  return reversed.reverse();
}
