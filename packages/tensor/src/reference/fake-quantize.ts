import type { FakeQuantization, FakeQuantizeBackwardArguments, FakeQuantizeGradients } from '../blas-types.ts';

/** The weights rounded to their grids, in single precision as the native code computes them. */
export function fakeQuantize(options: FakeQuantization): Float32Array {
  const out = new Float32Array(options.weights.length);
  forEachGroup(options, (group, indices) => {
    const { scale, low, high } = fitGroup(options, group, indices);
    for (const i of indices) out[i] = scale * clamp(code(options, scale, i), low, high);
  });
  return out;
}

/** SignRound's gradients, each as the derivative of the formulas in {@link fakeQuantize} with d round(x) / dx = 1. */
export function fakeQuantizeBackward(options: FakeQuantizeBackwardArguments): FakeQuantizeGradients {
  const { weights, gradient, rows, columns, groupSize, minimumScale, maximumScale, bits, scheme } = options;
  const groups = rows * Math.ceil(columns / groupLength(columns, groupSize));
  const gradients = {
    rounding: new Float32Array(weights.length),
    minimumScale: new Float32Array(groups),
    maximumScale: new Float32Array(groups),
  };
  forEachGroup(options, (group, indices) => {
    const { scale, low, high, minimum, maximum } = fitGroup(options, group, indices);
    if (scale === 0) return;
    const scaledMinimum = Math.fround((minimumScale?.[group] ?? 1) * minimum);
    let ofScale = 0;
    let ofMinimum = 0;
    for (const i of indices) {
      const k = gradient[i] ?? 0;
      const q = code(options, scale, i);
      const inside = q >= low && q <= high;
      if (inside) gradients.rounding[i] = k * scale;
      ofScale += k * (clamp(q, low, high) - (inside ? Math.fround((weights[i] ?? 0) / scale) : 0));
      if (scheme === 'asym' && !inside) {
        // Clipped to an end of the grid, whose place follows the minimum through the zero point.
        ofScale -= k * Math.fround(scaledMinimum / scale);
        ofMinimum += k;
      }
    }
    const maxCode = 2 ** bits - 1;
    if (scheme === 'asym') {
      gradients.maximumScale[group] = (ofScale / maxCode) * maximum;
      gradients.minimumScale[group] = (ofMinimum - ofScale / maxCode) * minimum;
    } else {
      // Only the side that is larger decides the scale.
      const half = (maxCode + 1) / 2;
      const active =
        -scaledMinimum > Math.fround((maximumScale?.[group] ?? 1) * maximum) ? 'minimumScale' : 'maximumScale';
      gradients[active][group] = (ofScale / -half) * (active === 'minimumScale' ? minimum : maximum);
    }
  });
  return gradients;
}

interface Group {
  readonly scale: number;
  /** The smallest and largest q - zeroPoint. */
  readonly low: number;
  readonly high: number;
  /** Of the group's weights and 0. */
  readonly minimum: number;
  readonly maximum: number;
}

function fitGroup(options: FakeQuantization, group: number, indices: readonly number[]): Group {
  const { bits, scheme, weights, minimumScale, maximumScale } = options;
  const maxCode = 2 ** bits - 1;
  const values = indices.map((i) => weights[i] ?? 0);
  const minimum = Math.min(0, ...values);
  const maximum = Math.max(0, ...values);
  const bottom = Math.fround((minimumScale?.[group] ?? 1) * minimum);
  const top = Math.fround((maximumScale?.[group] ?? 1) * maximum);
  if (scheme === 'sym') {
    const half = (maxCode + 1) / 2;
    const scale = halfScale(-bottom > top ? bottom : top, -half);
    return { scale, low: -half, high: half - 1, minimum, maximum };
  }
  const scale = halfScale(top - bottom, maxCode);
  const zeroPoint = scale === 0 ? 0 : clamp(roundEven(Math.fround(-bottom / scale)), 0, maxCode);
  return { scale, low: -zeroPoint, high: maxCode - zeroPoint, minimum, maximum };
}

/** q - zeroPoint before clipping. */
function code({ weights, rounding }: FakeQuantization, scale: number, index: number): number {
  if (scale === 0) return 0;
  const ratio = Math.fround((weights[index] ?? 0) / scale);
  return roundEven(rounding ? Math.fround(ratio + (rounding[index] ?? 0)) : ratio);
}

function forEachGroup(
  { rows, columns, groupSize }: FakeQuantization,
  visit: (group: number, indices: readonly number[]) => void,
): void {
  const length = groupLength(columns, groupSize);
  let group = 0;
  for (let row = 0; row < rows; row++)
    for (let begin = 0; begin < columns; begin += length)
      visit(
        group++,
        Array.from({ length: Math.min(length, columns - begin) }, (_, i) => row * columns + begin + i),
      );
}

function groupLength(columns: number, groupSize: number): number {
  return groupSize === -1 ? columns : groupSize;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

/** To the nearest integer, ties to even, for |x| < 2^51. */
function roundEven(x: number): number {
  return x + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}

/** range / steps in half precision; never 0 for a range that is not, because a lost scale would lose the group. */
function halfScale(range: number, steps: number): number {
  if (range === 0) return 0;
  const quotient = Math.fround(range) / steps;
  // Half precision: 11 significant bits, exponents from -14, multiples of 2^-24 below.
  const unit = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(quotient)))) - 10);
  const scale = roundEven(quotient / unit) * unit;
  return scale === 0 ? Math.sign(quotient) * 2 ** -24 : clamp(scale, -65504, 65504);
}
