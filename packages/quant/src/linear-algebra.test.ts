import { expect, test } from '@jest/globals';
import { SingularMatrixError } from '@llm/tensor';
import { inverseFactorOfReversed } from './linear-algebra.ts';

test('UᵀU is the inverse, U is upper triangular', async () => {
  const n = 7;
  const a = Float32Array.from({ length: n * n }, (_, i) => Math.sin(3 * i));
  const h = new Float32Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      for (let k = 0; k < n; k++)
        h[i * n + j] = (h[i * n + j] ?? 0) + (a[k * n + i] ?? 0) * (a[k * n + j] ?? 0) + (i === j ? 0.1 : 0);
  const u = await inverseFactorOfReversed(h.toReversed(), n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      if (j < i) expect(u[i * n + j]).toBe(0);
      // (UᵀU H)[i, j]
      let sum = 0;
      for (let k = 0; k < n; k++)
        for (let l = 0; l < n; l++) sum += (u[k * n + i] ?? 0) * (u[k * n + l] ?? 0) * (h[l * n + j] ?? 0);
      expect(sum).toBeCloseTo(i === j ? 1 : 0, 2);
    }
  await expect(inverseFactorOfReversed(new Float32Array(4).fill(1), 2)).rejects.toThrow(SingularMatrixError);
});
