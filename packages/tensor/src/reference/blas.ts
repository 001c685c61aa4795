import type { Floats, GemmArguments, SyrkArguments, TriangularSolveArguments } from '../blas-types.ts';

/** What {@link ../blas.ts} computes, written as in a textbook and in double precision. */
export function gemm(
  product: Omit<GemmArguments, 'a' | 'b' | 'c'> & { a: Floats; b: Floats; c?: Floats },
): Float64Array {
  const { m, n, k, a, b, c, transposeA = false, transposeB = false, alpha = 1, beta = 0 } = product;
  const out = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      let sum = 0;
      for (let i = 0; i < k; i++) {
        const left = a[transposeA ? i * m + row : row * k + i] ?? 0;
        const right = b[transposeB ? column * k + i : i * n + column] ?? 0;
        sum += left * right;
      }
      const before = beta === 0 ? 0 : beta * (c?.[row * n + column] ?? 0);
      out[row * n + column] = alpha * sum + before;
    }
  }
  return out;
}

export function syrk({ n, k, a, transpose = false, ...rest }: SyrkArguments): Float64Array {
  return gemm({ m: n, n, k, a, b: a, transposeA: transpose, transposeB: !transpose, ...rest });
}

/** The lower factor, or the row whose pivot is not positive. */
export function cholesky(a: Floats, n: number): Float64Array | number {
  const l = new Float64Array(n * n);
  for (let row = 0; row < n; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = a[row * n + column] ?? 0;
      for (let i = 0; i < column; i++) sum -= (l[row * n + i] ?? 0) * (l[column * n + i] ?? 0);
      if (column < row) l[row * n + column] = sum / (l[column * n + column] ?? 0);
      else if (sum > 0) l[row * n + row] = Math.sqrt(sum);
      else return row;
    }
  }
  return l;
}

/** X, or the row whose diagonal element is zero. */
export function triangularSolve(system: TriangularSolveArguments<Floats>): Float64Array | number {
  const { n, columns, a, b, upper = false, transpose = false } = system;
  const element = (row: number, column: number): number => a[transpose ? column * n + row : row * n + column] ?? 0;
  const forward = upper === transpose;
  const x = Float64Array.from(b);
  for (let step = 0; step < n; step++) {
    const row = forward ? step : n - 1 - step;
    const pivot = element(row, row);
    if (pivot === 0) return row;
    for (let column = 0; column < columns; column++) {
      let sum = x[row * columns + column] ?? 0;
      for (let i = forward ? 0 : row + 1; i < (forward ? row : n); i++)
        sum -= element(row, i) * (x[i * columns + column] ?? 0);
      x[row * columns + column] = sum / pivot;
    }
  }
  return x;
}

export function identity(n: number): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
  return matrix;
}

export function transposed(a: Floats, n: number): Float64Array {
  return Float64Array.from(a, (_, index) => a[(index % n) * n + Math.floor(index / n)] ?? 0);
}
