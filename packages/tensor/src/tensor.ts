import { ShapeMismatchError } from './errors.ts';

/** Values of a reference tensor. Sums are always taken in double precision, whatever the storage. */
export type FloatArray = Float32Array | Float64Array;

/**
 * A dense row-major tensor in JavaScript memory: what the plain operators, calibration and gradients work on. Native programs
 * keep their weights in {@link Matrix} and their values in an arena instead.
 */
export interface Tensor {
  /** One or two dimensions: [columns] or [rows, columns]. */
  readonly shape: readonly number[];
  readonly data: FloatArray;
}

/** @throws {@link ShapeMismatchError} if `data` does not have as many values as `shape` says */
export function tensor(shape: readonly number[], data: FloatArray): Tensor {
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  if (size !== data.length)
    throw new ShapeMismatchError(`A tensor [${shape.join(', ')}] needs ${size} values, not ${data.length}.`);
  return { shape, data };
}

/** A tensor of zeros, stored as `like` is. */
export function zeros(shape: readonly number[], like: Tensor): Tensor {
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  return { shape, data: emptyLike(like.data, size) };
}

/** An array of `length` zeros of the same type as `like`. */
export function emptyLike(like: FloatArray, length: number): FloatArray {
  return like instanceof Float32Array ? new Float32Array(length) : new Float64Array(length);
}

export function columnCount(x: Tensor): number {
  return x.shape.at(-1) ?? 1;
}

export function rowCount(x: Tensor): number {
  return x.data.length / columnCount(x);
}

/** A view of row `index`. */
export function row(x: Tensor, index: number): FloatArray {
  const columns = columnCount(x);
  return x.data.subarray(index * columns, (index + 1) * columns);
}

/** A new tensor with `f` of every value. */
export function mapTensor(x: Tensor, f: (value: number, index: number) => number): Tensor {
  const out = zeros(x.shape, x);
  for (let i = 0; i < out.data.length; i++) out.data[i] = f(x.data[i] ?? 0, i);
  return out;
}
