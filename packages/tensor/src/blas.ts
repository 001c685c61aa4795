import { backend } from './backend/load.ts';
import { translateError } from './backend/translate-errors.ts';
import type { Addon } from './backend/backend.ts';
import type {
  CholeskyOptions,
  Floats,
  GemmArguments,
  SyrkArguments,
  TriangleOptions,
  TriangularSolveArguments,
} from './blas-types.ts';
import { checkLength, checkSizes } from './check-sizes.ts';
import { cpuInfo } from './cpu.ts';
import { SingularMatrixError } from './errors.ts';
import { checkOptions } from './options.ts';

/**
 * C = alpha op(A) op(B) + beta C in single precision. Like all calls here it runs on the pool, off the event loop; its
 * arrays must not be changed or transferred until the promise settles. The result does not depend on the number of threads.
 * @returns C
 * @throws {@link ShapeMismatchError} if an array's length is not that of its matrix
 */
export async function sgemm(product: GemmArguments): Promise<Float32Array> {
  checkOptions(product, ['m', 'n', 'k', 'a', 'b', 'c', 'transposeA', 'transposeB', 'alpha', 'beta'], 'sgemm()');
  const { m, n, k, a, b, transposeA = false, transposeB = false, alpha = 1, beta = 0 } = product;
  checkSizes({ m, n, k });
  const c = product.c ?? new Float32Array(m * n);
  checkLength('a', a, m * k);
  checkLength('b', b, k * n);
  checkLength('c', c, m * n);
  await run('sgemm()', (addon, isa) => addon.gemm(isa, m, n, k, a, transposeA, b, transposeB, alpha, beta, c));
  return c;
}

/**
 * C = alpha A Aᵀ + beta C, or Aᵀ A with `transpose`: half the work of {@link sgemm}, and exactly symmetric.
 * @returns C
 * @throws {@link ShapeMismatchError} if an array's length is not that of its matrix
 */
export async function syrk(product: SyrkArguments): Promise<Float32Array> {
  checkOptions(product, ['n', 'k', 'a', 'c', 'transpose', 'alpha', 'beta'], 'syrk()');
  const { n, k, a, transpose = false, alpha = 1, beta = 0 } = product;
  checkSizes({ n, k });
  const c = product.c ?? new Float32Array(n * n);
  checkLength('a', a, n * k);
  checkLength('c', c, n * n);
  await run('syrk()', (addon, isa) => addon.syrk(isa, n, k, a, transpose, alpha, beta, c));
  return c;
}

/**
 * The triangular factor of a symmetric positive definite matrix [n, n], zeros in the other triangle. Reads the lower triangle
 * only. In double precision if the matrix is.
 * @throws {@link SingularMatrixError} naming the first row whose pivot is not positive
 */
export async function cholesky<T extends Floats>(a: T, n: number, options: CholeskyOptions = {}): Promise<T> {
  checkOptions(options, ['upper', 'inPlace'], 'cholesky()');
  checkSizes({ n });
  checkLength('a', a, n * n);
  const factor = options.inPlace ? a : (a.slice() as T);
  await run('cholesky()', (addon, isa) => addon.cholesky(isa, n, factor, options.upper ?? false));
  return factor;
}

/**
 * X with op(T) X = B.
 * @returns X [n, columns]
 * @throws {@link SingularMatrixError} if a diagonal element is zero
 */
export async function triangularSolve<T extends Floats>(system: TriangularSolveArguments<T>): Promise<T> {
  checkOptions(system, ['n', 'columns', 'a', 'b', 'upper', 'transpose'], 'triangularSolve()');
  const { n, columns, a, b, upper = false, transpose = false } = system;
  checkSizes({ n, columns });
  checkLength('a', a, n * n);
  checkLength('b', b, n * columns);
  const x = b.slice() as T;
  await run('triangularSolve()', (addon, isa) => addon.solveTriangular(isa, n, columns, a, upper, transpose, x));
  return x;
}

/**
 * The inverse of a triangular matrix [n, n], zeros in the other triangle.
 * @throws {@link SingularMatrixError} if a diagonal element is zero
 */
export async function invertTriangular<T extends Floats>(a: T, n: number, options: TriangleOptions = {}): Promise<T> {
  checkOptions(options, ['upper', 'inPlace'], 'invertTriangular()');
  checkSizes({ n });
  checkLength('a', a, n * n);
  const inverse = options.inPlace ? a : (a.slice() as T);
  await run('invertTriangular()', (addon, isa) => addon.invertTriangular(isa, n, inverse, options.upper ?? false));
  return inverse;
}

/**
 * The inverse of a symmetric positive definite matrix [n, n], by its Cholesky factor. Reads the lower triangle only; both
 * triangles of the result are written.
 * @throws {@link SingularMatrixError} naming the first row whose pivot is not positive
 */
export async function invertSymmetric<T extends Floats>(a: T, n: number): Promise<T> {
  checkSizes({ n });
  checkLength('a', a, n * n);
  const inverse = a.slice() as T;
  await run('invertSymmetric()', (addon, isa) => addon.invertSymmetric(isa, n, inverse));
  return inverse;
}

async function run(operation: string, call: (addon: Addon, isa: string) => Promise<void>): Promise<void> {
  try {
    await call(backend().addon, cpuInfo().isa);
  } catch (error) {
    const translated = translateError(error);
    throw translated instanceof SingularMatrixError ? new SingularMatrixError(operation, translated.row) : translated;
  }
}
