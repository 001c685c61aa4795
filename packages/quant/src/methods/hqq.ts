import { InvalidOptionError } from '@llm/tensor';
import { fitGroup, groupLength, type Grid, type GroupParameters } from '../grid.ts';
import { fround, roundToHalf, ROUND } from '../half.ts';
import { checkWeights, emptyMatrix, encodeGroup, writeGroup, type QuantizedMatrix } from '../quantized-matrix.ts';

/** Options of {@link hqq}. */
export interface HqqOptions {
  /** p of the norm |W - W'|_p that is minimised, 0 < p <= 1. Default 0.7. */
  readonly norm?: number;
  /** Default 20. */
  readonly iterations?: number;
  /** Names the matrix in errors. */
  readonly name?: string;
}

/** Strength of the first step towards the quantized weights, and its growth. */
const BETA = 10;
const BETA_GROWTH = 1.01;

/**
 * Half-quadratic quantization (Badri and Shaji 2023): moves the minimum of each group, not its scale, so that few large errors
 * are preferred to many small ones. Needs no data. The minimum is free, so the scheme has to be `min`.
 */
export function hqq(
  weights: Float32Array,
  rows: number,
  columns: number,
  grid: Grid,
  options: HqqOptions = {},
): QuantizedMatrix {
  if (grid.scheme !== 'min') throw new InvalidOptionError('scheme', grid.scheme, ['min (HQQ moves the minimum)']);
  const { norm = 0.7, iterations = 20, name = 'weights' } = options;
  if (!(norm > 0 && norm <= 1)) throw new InvalidOptionError('norm', String(norm), ['more than 0, up to 1']);
  checkWeights(weights, columns, name);
  const matrix = emptyMatrix(grid, rows, columns);
  const length = groupLength(grid, columns);
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  const maxCode = 2 ** grid.bits - 1;
  let index = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column += length, index++) {
      const begin = row * columns + column;
      const end = row * columns + Math.min(column + length, columns);
      fitGroup(grid, weights, begin, end, group);
      moveMinimum(weights, begin, end, maxCode, group, norm, iterations);
      writeGroup(matrix, index, group);
      encodeGroup(matrix, weights, begin, end, group);
    }
  }
  return matrix;
}

/** Alternates between shrinking the residual (its proximal step in the p-norm) and the minimum that fits what remains. */
function moveMinimum(
  weights: Float32Array,
  begin: number,
  end: number,
  maxCode: number,
  group: GroupParameters,
  norm: number,
  iterations: number,
): void {
  const { scale } = group;
  if (scale === 0) return;
  let best = group.minimum;
  let least = residual(weights, begin, end, maxCode, scale, best, norm);
  let minimum = best;
  let beta = BETA;
  for (let iteration = 0; iteration < iterations; iteration++, beta *= BETA_GROWTH) {
    let sum = 0;
    for (let i = begin; i < end; i++) {
      const w = weights[i] as number;
      const level = scale * nearest(w, scale, minimum, maxCode);
      const error = w - level - minimum;
      const size = Math.abs(error);
      const shrunk = Math.sign(error) * Math.max(0, size - size ** (norm - 1) / beta);
      sum += w - (size === 0 ? 0 : shrunk) - level;
    }
    minimum = roundToHalf(sum / (end - begin));
    const now = residual(weights, begin, end, maxCode, scale, minimum, norm);
    if (now >= least) break;
    least = now;
    best = minimum;
  }
  group.minimum = best;
}

function nearest(w: number, scale: number, minimum: number, maxCode: number): number {
  const q = fround((w - minimum) / scale) + ROUND - ROUND;
  return q < 0 ? 0 : q > maxCode ? maxCode : q;
}

/** The sum of |w - w'|^p. */
function residual(
  weights: Float32Array,
  begin: number,
  end: number,
  maxCode: number,
  scale: number,
  minimum: number,
  norm: number,
): number {
  let sum = 0;
  for (let i = begin; i < end; i++) {
    const w = weights[i] as number;
    sum += Math.abs(w - scale * nearest(w, scale, minimum, maxCode) - minimum) ** norm;
  }
  return sum;
}
