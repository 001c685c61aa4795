import type {
  CholeskyOptions,
  FakeQuantizeArguments,
  FakeQuantizeBackwardArguments,
  FakeQuantizeGradients,
  Floats,
  GemmArguments,
  SyrkArguments,
  TriangleOptions,
  TriangularSolveArguments,
} from './blas-types.ts';
import { InvalidArgumentError, InvalidOptionError, ShapeMismatchError, SingularMatrixError } from './errors.ts';
import { checkOptions } from './options.ts';
import * as reference from './reference/blas.ts';
import * as plain from './reference/fake-quantize.ts';

/**
 * C = alpha op(A) op(B) + beta C in single precision. Like all calls here it runs on the pool, off the event loop; its
 * arrays must not be changed or transferred until the promise settles. The result does not depend on the number of threads.
 * @returns C
 * @throws {@link ShapeMismatchError} if an array's length is not that of its matrix
 */
export async function sgemm(product: GemmArguments): Promise<Float32Array> {
  checkOptions(product, ['m', 'n', 'k', 'a', 'b', 'c', 'transposeA', 'transposeB', 'alpha', 'beta'], 'sgemm()');
  const { m, n, k, a, b, c = new Float32Array(m * n) } = product;
  checkSizes({ m, n, k });
  checkLength('a', a, m * k);
  checkLength('b', b, k * n);
  checkLength('c', c, m * n);
  c.set(reference.gemm({ ...product, c }));
  return Promise.resolve(c);
}

/**
 * C = alpha A Aᵀ + beta C, or Aᵀ A with `transpose`: half the work of {@link sgemm}, and exactly symmetric.
 * @returns C
 * @throws {@link ShapeMismatchError} if an array's length is not that of its matrix
 */
export async function syrk(product: SyrkArguments): Promise<Float32Array> {
  checkOptions(product, ['n', 'k', 'a', 'c', 'transpose', 'alpha', 'beta'], 'syrk()');
  const { n, k, a, c = new Float32Array(n * n) } = product;
  checkSizes({ n, k });
  checkLength('a', a, n * k);
  checkLength('c', c, n * n);
  c.set(reference.syrk({ ...product, c }));
  return Promise.resolve(c);
}

/**
 * The triangular factor of a symmetric positive definite matrix [n, n], zeros in the other triangle. Reads the lower triangle
 * only. In double precision if the matrix is.
 * @throws {@link SingularMatrixError} naming the first row whose pivot is not positive
 */
export async function cholesky<T extends Floats>(a: T, n: number, options: CholeskyOptions = {}): Promise<T> {
  checkOptions(options, ['upper'], 'cholesky()');
  checkSizes({ n });
  checkLength('a', a, n * n);
  const factor = checkPivot('cholesky()', reference.cholesky(a, n));
  return Promise.resolve(like(a, options.upper ? reference.transposed(factor, n) : factor));
}

/**
 * X with op(T) X = B.
 * @returns X [n, columns]
 * @throws {@link SingularMatrixError} if a diagonal element is zero
 */
export async function triangularSolve<T extends Floats>(system: TriangularSolveArguments<T>): Promise<T> {
  checkOptions(system, ['n', 'columns', 'a', 'b', 'upper', 'transpose'], 'triangularSolve()');
  const { n, columns, a, b } = system;
  checkSizes({ n, columns });
  checkLength('a', a, n * n);
  checkLength('b', b, n * columns);
  return Promise.resolve(like(a, checkPivot('triangularSolve()', reference.triangularSolve(system))));
}

/**
 * The inverse of a triangular matrix [n, n], zeros in the other triangle.
 * @throws {@link SingularMatrixError} if a diagonal element is zero
 */
export async function invertTriangular<T extends Floats>(a: T, n: number, options: TriangleOptions = {}): Promise<T> {
  checkOptions(options, ['upper'], 'invertTriangular()');
  checkSizes({ n });
  checkLength('a', a, n * n);
  const inverse = reference.triangularSolve({ ...options, n, columns: n, a, b: reference.identity(n) });
  return Promise.resolve(like(a, checkPivot('invertTriangular()', inverse)));
}

/**
 * The inverse of a symmetric positive definite matrix [n, n], by its Cholesky factor. Reads the lower triangle only; both
 * triangles of the result are written.
 * @throws {@link SingularMatrixError} naming the first row whose pivot is not positive
 */
export async function invertSymmetric<T extends Floats>(a: T, n: number): Promise<T> {
  checkSizes({ n });
  checkLength('a', a, n * n);
  const l = checkPivot('invertSymmetric()', reference.cholesky(a, n));
  const half = reference.triangularSolve({ n, columns: n, a: l, b: reference.identity(n) });
  const inverse = checkPivot('invertSymmetric()', half);
  return Promise.resolve(like(a, reference.gemm({ m: n, n, k: n, a: inverse, b: inverse, transposeA: true })));
}

/**
 * Rounds weights to a grid and back, as training with quantization does: what the quantized model will compute with.
 * @returns the rounded weights [rows, columns]
 * @throws {@link ShapeMismatchError} if an array's length is not that of its matrix
 */
export async function fakeQuantize(options: FakeQuantizeArguments): Promise<Float32Array> {
  checkGrid(options, fakeQuantizeOptions, 'fakeQuantize()');
  return Promise.resolve(plain.fakeQuantize(options));
}

/** The gradients that go with {@link fakeQuantize}, of the same arguments. */
export async function fakeQuantizeBackward(options: FakeQuantizeBackwardArguments): Promise<FakeQuantizeGradients> {
  checkGrid(options, [...fakeQuantizeOptions, 'gradient'], 'fakeQuantizeBackward()');
  checkLength('gradient', options.gradient, options.rows * options.columns);
  return Promise.resolve(plain.fakeQuantizeBackward(options));
}

const fakeQuantizeOptions = [
  ...['rows', 'columns', 'weights', 'bits', 'groupSize', 'scheme'],
  ...['rounding', 'minimumScale', 'maximumScale'],
];

function checkGrid(options: FakeQuantizeArguments, allowed: readonly string[], where: string): void {
  checkOptions(options, allowed, where);
  const { rows, columns, weights, bits, groupSize, scheme, rounding, minimumScale, maximumScale } = options;
  checkSizes({ rows, columns });
  if (!Number.isInteger(bits) || bits < 2 || bits > 8)
    throw new InvalidOptionError('bits', String(bits), ['2', '3', '4', '5', '6', '7', '8']);
  if (groupSize !== -1) checkSizes({ groupSize });
  if (!['sym', 'asym'].includes(scheme)) throw new InvalidOptionError('scheme', scheme, ['sym', 'asym']);
  const groups = rows * Math.ceil(columns / (groupSize === -1 ? columns : groupSize));
  checkLength('weights', weights, rows * columns);
  if (rounding) checkLength('rounding', rounding, rows * columns);
  if (minimumScale) checkLength('minimumScale', minimumScale, groups);
  if (maximumScale) checkLength('maximumScale', maximumScale, groups);
}

function checkSizes(sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes))
    if (!Number.isInteger(size) || size < 1 || size > 2 ** 31 - 1)
      throw new InvalidArgumentError(`${name} must be a whole number from 1 on, not ${String(size)}.`);
}

function checkLength(name: string, array: Floats, length: number): void {
  if (array.length !== length)
    throw new ShapeMismatchError(
      `${name} has ${String(array.length)} elements where its matrix has ${String(length)}.`,
    );
}

function checkPivot(operation: string, result: Float64Array | number): Float64Array {
  if (typeof result === 'number') throw new SingularMatrixError(operation, result);
  return result;
}

function like<T extends Floats>(a: T, values: Float64Array): T {
  return (a instanceof Float64Array ? values : Float32Array.from(values)) as T;
}
