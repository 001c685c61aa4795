import { InvalidOptionError } from '@llm/tensor';
import { fround, HALF_MAX, HALF_MIN, ROUND, roundToHalf } from './half.ts';

/**
 * How a group of weights is mapped to integers `q` in 0 .. 2^bits - 1.
 *
 * - `sym`   w = scale * (q - 2^(bits-1)). Full range: the element of largest magnitude maps to -2^(bits-1), so the scale has a
 *           sign. Where both extremes are equally large, the positive one is meant and the scale is negative (AutoRound's rule).
 * - `asym`  w = scale * (q - zeroPoint) with an integer zero point; 0 is always representable.
 * - `min`   w = scale * q + minimum with a free minimum (GGUF Q4_1, HQQ).
 *
 * Scales and minima are rounded to half precision first, zero points and codes are computed for the rounded values.
 */
export type Scheme = 'sym' | 'asym' | 'min';

export const schemes: readonly Scheme[] = ['sym', 'asym', 'min'];

/** A set of integer grids, one per group of `groupSize` neighbouring inputs of each row. */
export interface Grid {
  /** 2 to 8. */
  readonly bits: number;
  /** 32 to 1024 in steps of 8, or -1 for one group per row (per channel). The last group of a row may be shorter. */
  readonly groupSize: number;
  readonly scheme: Scheme;
  /**
   * How scales are stored. `half`: one half-precision number per group. `two-level`: one float32 per row and a multiplier 1 .. 16 per
   * group, an eighth of the bytes, for `sym` (scales positive) and `asym` up to 4 bits. Default `half`.
   */
  readonly scales?: ScaleType;
}

export type ScaleType = 'half' | 'two-level';

export const scaleTypes: readonly ScaleType[] = ['half', 'two-level'];

/** The grid of one group: w = scale * (q - zeroPoint) + minimum, where zeroPoint or minimum is 0 or constant by scheme. */
export interface GroupParameters {
  scale: number;
  zeroPoint: number;
  minimum: number;
}

/** @throws InvalidOptionError if a field is out of range */
export function validateGrid({ bits, groupSize, scheme, scales = 'half' }: Grid): void {
  if (!Number.isInteger(bits) || bits < 2 || bits > 8)
    throw new InvalidOptionError('bits', String(bits), ['2', '3', '4', '5', '6', '7', '8']);
  if (groupSize !== -1 && !(groupSize % 8 === 0 && groupSize >= 32 && groupSize <= 1024))
    throw new InvalidOptionError('groupSize', String(groupSize), ['-1 (per channel)', '32 to 1024 in steps of 8']);
  if (!schemes.includes(scheme)) throw new InvalidOptionError('scheme', scheme, schemes);
  if (!scaleTypes.includes(scales)) throw new InvalidOptionError('scales', scales, scaleTypes);
  if (scales === 'two-level' && (scheme === 'min' || bits > 4))
    throw new InvalidOptionError('scales', scales, ['half', 'two-level (of sym and asym, up to 4 bits)']);
}

/** The number of weights in a full group of a row of `columns`: never more than the row. */
export function groupLength(grid: Grid, columns: number): number {
  return grid.groupSize === -1 ? columns : Math.min(grid.groupSize, columns);
}

/** Groups in a row, the short one at the end included. */
export function groupCount(grid: Grid, columns: number): number {
  return Math.ceil(columns / groupLength(grid, columns));
}

/**
 * Fits a grid to a group whose smallest and largest elements are `low` and `high`. A group of zeros gets scale 0.
 * `ratio` shrinks (or stretches) the range, as clip searches do.
 */
export function fitRange(grid: Grid, low: number, high: number, ratio: number, out: GroupParameters): void {
  const maxCode = 2 ** grid.bits - 1;
  out.minimum = 0;
  if (grid.scheme === 'sym') {
    const half = (maxCode + 1) / 2;
    out.zeroPoint = half;
    out.scale = halfScale((-low > high ? low : Math.max(high, 0)) * ratio, -half);
  } else if (grid.scheme === 'asym') {
    const bottom = Math.min(low, 0) * ratio;
    out.scale = halfScale(Math.max(high, 0) * ratio - bottom, maxCode);
    out.zeroPoint = out.scale === 0 ? 0 : clamp(roundEven(fround(-bottom / out.scale)), maxCode);
  } else {
    // A ratio below 1 clips both ends alike.
    const clipped = ((high - low) / 2) * (1 - ratio);
    out.zeroPoint = 0;
    out.minimum = saturate(roundToHalf(low + clipped));
    out.scale = halfScale((high - low) * ratio, maxCode);
  }
}

/** The range as it is: what RTN does. */
export function fitGroup(grid: Grid, weights: Float32Array, begin: number, end: number, out: GroupParameters): void {
  let low = weights[begin] ?? 0;
  let high = low;
  for (let i = begin + 1; i < end; i++) {
    const w = weights[i] ?? 0;
    if (w < low) low = w;
    if (w > high) high = w;
  }
  fitRange(grid, low, high, 1, out);
}

/** The code of one weight. */
export function encode(maxCode: number, group: GroupParameters, weight: number): number {
  if (group.scale === 0) return group.zeroPoint;
  return clamp(roundEven(fround((weight - group.minimum) / group.scale)) + group.zeroPoint, maxCode);
}

/** The weight that a code stands for: exact in single precision but for the one rounding of `min`. */
export function decode(group: GroupParameters, code: number): number {
  return fround(group.scale * (code - group.zeroPoint) + group.minimum);
}

/** Squared error of a group under a grid, each element weighted by the importance of its column if that is given. */
export function groupError(
  maxCode: number,
  { scale, zeroPoint, minimum }: GroupParameters,
  weights: Float32Array,
  begin: number,
  end: number,
  importance?: Float32Array,
  column = 0,
): number {
  // Dividing by infinity gives code zeroPoint, which is what a scale of 0 means.
  const divisor = scale === 0 ? Infinity : scale;
  let error = 0;
  for (let i = begin; i < end; i++) {
    const w = weights[i] ?? 0;
    let q = fround((w - minimum) / divisor) + ROUND - ROUND + zeroPoint;
    q = q < 0 ? 0 : q > maxCode ? maxCode : q;
    const d = w - (scale * (q - zeroPoint) + minimum);
    error += importance ? d * d * (importance[column + i - begin] ?? 0) : d * d;
  }
  return error;
}

function roundEven(x: number): number {
  return x + ROUND - ROUND;
}

function clamp(code: number, maxCode: number): number {
  return code < 0 ? 0 : code > maxCode ? maxCode : code;
}

/** range / steps as a half; never 0 for a range that is not, because a lost scale would lose the group. */
function halfScale(range: number, steps: number): number {
  if (range === 0) return 0;
  const quotient = fround(range) / steps;
  const scale = roundToHalf(quotient);
  return scale === 0 ? Math.sign(quotient) * HALF_MIN : saturate(scale);
}

function saturate(x: number): number {
  return Math.max(-HALF_MAX, Math.min(HALF_MAX, x));
}
