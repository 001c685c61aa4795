import { emptyLike, type FloatArray } from '../tensor.ts';
import type { Computation, Product } from './operator.ts';

/** The plain product, summed in double precision. */
export function plainProduct({ m, n, k, a, b, transposeA = false, transposeB = false }: Product): FloatArray {
  const left = transposeA ? transpose(a, k, m) : a;
  const right = transposeB ? b : transpose(b, k, n);
  const out = emptyLike(a, m * n);
  for (let i = 0; i < m; i++) {
    const x = i * k;
    let j = 0;
    // Four columns at a time, so that each value of A is read once for all of them.
    for (; j + 4 <= n; j += 4) {
      const [y0, y1, y2, y3] = [j * k, (j + 1) * k, (j + 2) * k, (j + 3) * k];
      let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
      for (let p = 0; p < k; p++) {
        const value = left[x + p] as number;
        sum0 += value * (right[y0 + p] as number);
        sum1 += value * (right[y1 + p] as number);
        sum2 += value * (right[y2 + p] as number);
        sum3 += value * (right[y3 + p] as number);
      }
      out[i * n + j] = sum0;
      out[i * n + j + 1] = sum1;
      out[i * n + j + 2] = sum2;
      out[i * n + j + 3] = sum3;
    }
    for (; j < n; j++) {
      let sum = 0;
      for (let p = 0, y = j * k; p < k; p++) sum += (left[x + p] as number) * (right[y + p] as number);
      out[i * n + j] = sum;
    }
  }
  return out;
}

function transpose(x: FloatArray, rows: number, columns: number): FloatArray {
  const out = emptyLike(x, x.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = x[r * columns + c] as number;
  return out;
}

function isComputation<Result extends object>(work: Result | Computation<Result>): work is Computation<Result> {
  return 'next' in work;
}

/** Does the work at once with plain products. */
export function compute<Result extends object>(work: Result | Computation<Result>): Result {
  if (!isComputation(work)) return work;
  let step = work.next();
  while (!step.done) step = work.next(plainProduct(step.value));
  return step.value;
}

/** Does the work with products made elsewhere. */
export async function computeWith<Result extends object>(
  work: Result | Computation<Result>,
  product: (product: Product) => Promise<FloatArray>,
): Promise<Result> {
  if (!isComputation(work)) return work;
  let step = work.next();
  while (!step.done) step = work.next(await product(step.value));
  return step.value;
}
