import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { kernelsFor } from './cpu.ts';

/** Every call here takes the kernel table to use, of {@link cpuInfo}; default: the best. All give the same bits. */
export interface VectorOptions {
  readonly isa?: string;
}

/** Functions of one number each, element by element; `gelu` is the one with erf. */
export type UnaryFunction = 'silu' | 'gelu' | 'geluTanh' | 'relu' | 'exp' | 'tanh';
/** Functions of two numbers; `siluMul` and its like are f(x) y. */
export type BinaryFunction = 'add' | 'mul' | 'siluMul' | 'geluMul' | 'geluTanhMul' | 'reluMul';

/** f(x), in new memory. */
export function mapUnary(f: UnaryFunction, x: Float32Array, options: VectorOptions = {}): Float32Array<ArrayBuffer> {
  return filled(x.length, (out) => {
    backend().addon.mapVectors(kernelsFor(options.isa), f, x, undefined, out);
  });
}

/**
 * f(x, y), in new memory.
 * @throws {@link ShapeMismatchError} if x and y differ in length
 */
export function mapBinary(
  f: BinaryFunction,
  x: Float32Array,
  y: Float32Array,
  options: VectorOptions = {},
): Float32Array<ArrayBuffer> {
  return filled(x.length, (out) => {
    backend().addon.mapVectors(kernelsFor(options.isa), f, x, y, out);
  });
}

/** factor x */
export function scaleVector(x: Float32Array, factor: number, options: VectorOptions = {}): Float32Array<ArrayBuffer> {
  return filled(x.length, (out) => backend().addon.mapWithNumbers(kernelsFor(options.isa), 'scale', x, factor, 0, out));
}

/** cap tanh(x / cap) */
export function softcapVector(x: Float32Array, cap: number, options: VectorOptions = {}): Float32Array<ArrayBuffer> {
  return filled(x.length, (out) => backend().addon.mapWithNumbers(kernelsFor(options.isa), 'softcap', x, cap, 0, out));
}

/** min(high, max(low, x)); NaN stays NaN. */
export function clampVector(
  x: Float32Array,
  low: number,
  high: number,
  options: VectorOptions = {},
): Float32Array<ArrayBuffer> {
  return filled(x.length, (out) => backend().addon.mapWithNumbers(kernelsFor(options.isa), 'clamp', x, low, high, out));
}

/** y + factor x, each product and sum rounded once */
export function addScaled(
  y: Float32Array,
  x: Float32Array,
  factor: number,
  options: VectorOptions = {},
): Float32Array<ArrayBuffer> {
  const out = Float32Array.from(y);
  translateErrors(() => backend().addon.mapWithNumbers(kernelsFor(options.isa), 'axpy', x, factor, 0, out));
  return out;
}

/** The terms e^((x - shift) factor) and their sum. */
export function expSum(
  x: Float32Array,
  shift: number,
  factor: number,
  options: VectorOptions = {},
): { readonly sum: number; readonly terms: Float32Array<ArrayBuffer> } {
  let sum = 0;
  const terms = filled(x.length, (out) => {
    sum = backend().addon.mapWithNumbers(kernelsFor(options.isa), 'expSum', x, shift, factor, out) ?? 0;
  });
  return { sum, terms };
}

/** One number from a vector. `argmax` is the first of equals, -1 for an empty vector; `allFinite` is 1 or 0. */
export function reduceVector(
  f: 'max' | 'sum' | 'argmax' | 'allFinite',
  x: Float32Array,
  options: VectorOptions = {},
): number {
  return translateErrors(() => backend().addon.reduceVector(kernelsFor(options.isa), f, x));
}

/** The indices, rising, of values that are at least the threshold. */
export function indicesAtLeast(x: Float32Array, threshold: number, options: VectorOptions = {}): Int32Array {
  return translateErrors(() => backend().addon.indicesAtLeast(kernelsFor(options.isa), x, threshold));
}

/**
 * x / sqrt(mean(x²) + epsilon) weight, for every row of weight.length values. (Zhang and Sennrich: Root Mean Square Layer
 * Normalization, 2019.)
 * @throws {@link ShapeMismatchError} if x has no whole number of rows
 */
export function rmsNormRows(
  x: Float32Array,
  weight: Float32Array,
  epsilon: number,
  options: VectorOptions = {},
): Float32Array<ArrayBuffer> {
  return filled(x.length, (out) => {
    backend().addon.normRows(kernelsFor(options.isa), x, weight, undefined, false, epsilon, out);
  });
}

/**
 * (x - mean) / sqrt(variance + epsilon) weight + bias, for every row of weight.length values. (Ba et al.: Layer
 * Normalization, 2016.)
 * @throws {@link ShapeMismatchError} if x has no whole number of rows
 */
export function layerNormRows(
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array | undefined,
  epsilon: number,
  options: VectorOptions = {},
): Float32Array<ArrayBuffer> {
  return filled(x.length, (out) => {
    backend().addon.normRows(kernelsFor(options.isa), x, weight, bias, true, epsilon, out);
  });
}

/**
 * Rotates the first cosSin.length values of every head by the angles of one position, cosSin[pairs][2]. Pairs are
 * (i, i + pairs), or (2i, 2i + 1) if interleaved. (Su et al.: RoFormer, 2021.)
 * @throws {@link ShapeMismatchError} if the sizes do not fit together
 */
export function ropeHeads(
  heads: Float32Array,
  headDim: number,
  cosSin: Float32Array,
  interleaved: boolean,
  options: VectorOptions = {},
): Float32Array<ArrayBuffer> {
  const out = Float32Array.from(heads);
  translateErrors(() => {
    backend().addon.ropeHeads(kernelsFor(options.isa), out, headDim, cosSin, interleaved);
  });
  return out;
}

function filled(length: number, fill: (out: Float32Array<ArrayBuffer>) => unknown): Float32Array<ArrayBuffer> {
  const out = new Float32Array(length);
  translateErrors(() => fill(out));
  return out;
}
