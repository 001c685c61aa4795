import { afterEach, describe, expect, test } from '@jest/globals';
import { cholesky, invertSymmetric, invertTriangular, sgemm, syrk, triangularSolve } from './blas.ts';
import type { Floats } from './blas-types.ts';
import { cpuInfo } from './cpu.ts';
import { InvalidArgumentError, ShapeMismatchError, SingularMatrixError } from './errors.ts';
import * as reference from './reference/blas.ts';
import { setThreadCount, threadCount } from './threads.ts';

// Tables that share these kernels with another are left out.
const isas = cpuInfo()
  .tables.filter(({ isa, runnable }) => runnable && !isa.endsWith('_vnni'))
  .map((table) => table.isa);

afterEach(() => {
  delete process.env['LLM_ISA'];
});

/** Numbers in -1 .. 1 that are the same in every run. */
function numbers(length: number, seed: number): Float64Array {
  let state = seed * 2 + 1;
  return Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
}

const floats = (length: number, seed: number): Float32Array => Float32Array.from(numbers(length, seed));

/** Symmetric with eigenvalues from about n / 3 down to 1: A Aᵀ + I. */
function positiveDefinite(n: number, seed: number): Float64Array {
  const a = numbers(n * n, seed);
  const product = reference.gemm({ m: n, n, k: n, a, b: a, transposeB: true });
  for (let i = 0; i < n; i++) product[i * n + i] = (product[i * n + i] ?? 0) + 1;
  return product;
}

/** Well-conditioned: a strong diagonal. The triangle that must not be read holds NaN. */
function triangle(n: number, upper: boolean, seed: number): Float64Array {
  return numbers(n * n, seed).map((x, index) => {
    const [row, column] = [Math.floor(index / n), index % n];
    if (row === column) return 2 + x;
    return column > row === upper ? x / Math.sqrt(n) : Number.NaN;
  });
}

function largestDifference(a: Floats, b: Floats): number {
  expect(a).toHaveLength(b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs((a[i] ?? Number.NaN) - (b[i] ?? Number.NaN)));
  return largest;
}

/** Sizes around the tiles of every table, one that takes several slices of k, and long thin ones. */
const shapes: readonly (readonly [number, number, number])[] = [
  [1, 1, 1],
  [3, 5, 2],
  [14, 32, 16],
  [15, 33, 300],
  [57, 129, 31],
  [1, 200, 513],
  [200, 1, 70],
];

describe.each(isas)('%s', (isa) => {
  test.each(shapes)('sgemm of %d x %d x %d, all transposes', async (m, n, k) => {
    process.env['LLM_ISA'] = isa;
    const [a, b] = [floats(m * k, 1), floats(k * n, 2)];
    for (const [transposeA, transposeB] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      const product = { m, n, k, a, b, transposeA, transposeB };
      const c = await sgemm({ ...product, c: new Float32Array(m * n).fill(Number.NaN) });
      expect(largestDifference(c, reference.gemm(product))).toBeLessThan(5e-7 * k + 1e-6);
      const before = floats(m * n, 3);
      const scaled = { ...product, alpha: -0.5, beta: 2, c: before.slice() };
      expect(largestDifference(await sgemm(scaled), reference.gemm({ ...scaled, c: before }))).toBeLessThan(
        5e-7 * k + 1e-6,
      );
    }
  });

  test('syrk, exactly symmetric', async () => {
    process.env['LLM_ISA'] = isa;
    for (const [n, k] of [
      [1, 3],
      [47, 20],
      [130, 300],
    ] as const) {
      for (const transpose of [false, true]) {
        const product = { n, k, a: floats(n * k, 4), transpose };
        const c = await syrk(product);
        expect(largestDifference(c, reference.syrk(product))).toBeLessThan(5e-7 * k + 1e-6);
        expect(Float32Array.from(reference.transposed(c, n))).toEqual(c);
        const before = c.slice();
        const sum = { ...product, alpha: 2, beta: 0.5, c };
        expect(largestDifference(await syrk(sum), reference.syrk({ ...sum, c: before }))).toBeLessThan(2e-6 * k + 1e-6);
      }
    }
  });

  test.each([1, 33, 80])('factors and inverses of size %d', async (n) => {
    process.env['LLM_ISA'] = isa;
    const a = positiveDefinite(n, 5);
    const unit = reference.identity(n);
    for (const type of [Float32Array, Float64Array]) {
      // What a factor must satisfy, whatever the algorithm: it multiplies back to the matrix.
      const small = type === Float64Array ? 1e-11 : 1e-4;
      const matrix = type.from(a) as Floats;
      const l = await cholesky(matrix, n);
      expect(l).toBeInstanceOf(type);
      const product = reference.gemm({ m: n, n, k: n, a: l, b: l, transposeB: true });
      expect(largestDifference(product, a)).toBeLessThan(small);
      expect(l.every((x, index) => index % n <= Math.floor(index / n) || x === 0)).toBe(true);
      expect(await cholesky(matrix, n, { upper: true })).toEqual(type.from(reference.transposed(l, n)));

      const inverse = await invertSymmetric(matrix, n);
      expect(largestDifference(reference.gemm({ m: n, n, k: n, a: inverse, b: a }), unit)).toBeLessThan(small * 10);

      for (const upper of [false, true]) {
        const t = type.from(triangle(n, upper, 6)) as Floats;
        const clean = t.map((x) => (Number.isNaN(x) ? 0 : x)) as Floats;
        const inverted = await invertTriangular(t, n, { upper });
        expect(largestDifference(reference.gemm({ m: n, n, k: n, a: clean, b: inverted }), unit)).toBeLessThan(small);
        for (const transpose of [false, true]) {
          const b = type.from(numbers(n * 7, 8)) as Floats;
          const x = await triangularSolve({ n, columns: 7, a: t, b, upper, transpose });
          const back = reference.gemm({ m: n, n: 7, k: n, a: clean, b: x, transposeA: transpose });
          expect(largestDifference(back, b)).toBeLessThan(small);
        }
      }
    }
  });
});

test('the number of threads does not change a bit', async () => {
  const threads = threadCount();
  const n = 150;
  const a = Float32Array.from(positiveDefinite(n, 9));
  const results: Floats[][] = [];
  try {
    for (const count of [1, 2, 5]) {
      setThreadCount(count);
      results.push([await syrk({ n, k: n, a }), await cholesky(a, n), await invertSymmetric(a, n)]);
    }
  } finally {
    setThreadCount(threads);
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
});

test('calls run in the background, in order, many at once', async () => {
  const n = 40;
  const a = floats(n * n, 10);
  const all = await Promise.all(Array.from({ length: 20 }, () => sgemm({ m: n, n, k: n, a, b: a })));
  for (const c of all) expect(c).toEqual(all[0]);
});

test('matrices without a factor or inverse are named with the row', async () => {
  const n = 90;
  const a = positiveDefinite(n, 11);
  a[70 * n + 70] = -1;
  await expect(cholesky(a, n)).rejects.toThrow(SingularMatrixError);
  await expect(cholesky(a, n)).rejects.toMatchObject({ operation: 'cholesky()', row: 70 });
  a[70 * n + 70] = Number.NaN;
  await expect(invertSymmetric(a, n)).rejects.toMatchObject({ code: 'SINGULAR_MATRIX', row: 70 });
  for (const upper of [false, true]) {
    const t = triangle(n, upper, 12);
    t[40 * n + 40] = 0;
    await expect(invertTriangular(t, n, { upper })).rejects.toMatchObject({ row: 40 });
    await expect(triangularSolve({ n, columns: 1, a: t, b: numbers(n, 1), upper })).rejects.toMatchObject({ row: 40 });
  }
});

test('shapes that do not fit are refused', async () => {
  const a = new Float32Array(6);
  await expect(sgemm({ m: 2, n: 2, k: 3, a, b: a.subarray(1) })).rejects.toThrow(ShapeMismatchError);
  await expect(sgemm({ m: 2, n: 2, k: 3, a, b: a, c: a })).rejects.toThrow(ShapeMismatchError);
  await expect(syrk({ n: 4, k: 2, a })).rejects.toThrow(ShapeMismatchError);
  await expect(cholesky(a, 2)).rejects.toThrow(ShapeMismatchError);
  for (const m of [0, -1, 1.5, Number.NaN, 2 ** 31])
    await expect(sgemm({ m, n: 2, k: 3, a, b: a })).rejects.toThrow(InvalidArgumentError);
});
