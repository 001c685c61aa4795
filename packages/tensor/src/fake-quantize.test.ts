import { expect, test } from '@jest/globals';
import type { FakeQuantization } from './blas-types.ts';
import { InvalidOptionError, ShapeMismatchError } from './errors.ts';
import { fakeQuantize, fakeQuantizeBackward, roundingErrors } from './fake-quantize.ts';
import * as reference from './reference/fake-quantize.ts';

const schemes = ['sym', 'asym'] as const;

function numbers(length: number, seed: number, low = -1, high = 1): Float32Array {
  let state = seed * 2 + 1;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return low + ((state / 2 ** 31 + 1) / 2) * (high - low);
  });
}

function* cases(): Generator<FakeQuantization> {
  for (const scheme of schemes)
    for (const bits of [2, 3, 4, 8])
      for (const [rows, columns, groupSize] of [
        [1, 1, -1],
        [5, 96, 32],
        [3, 100, 32],
        [4, 77, -1],
        [2, 40, 64],
      ] as const)
        for (const weights of [
          numbers(rows * columns, 1),
          numbers(rows * columns, 2, 0.5, 1),
          numbers(rows * columns, 3, -1e-8, 0),
          new Float32Array(rows * columns),
        ]) {
          const groups = rows * Math.ceil(columns / (groupSize === -1 ? columns : groupSize));
          const plain = { rows, columns, weights, bits, groupSize, scheme };
          yield plain;
          yield {
            ...plain,
            rounding: numbers(rows * columns, 4, -0.7, 0.7),
            minimumScale: numbers(groups, 5, 0, 1),
            maximumScale: numbers(groups, 6, 0, 1),
          };
        }
}

test('values and gradients equal the reference, bit for bit', async () => {
  for (const options of cases()) {
    expect(await fakeQuantize(options)).toEqual(reference.fakeQuantize(options));
    const backward = { ...options, gradient: numbers(options.weights.length, 7) };
    expect(await fakeQuantizeBackward(backward)).toEqual(reference.fakeQuantizeBackward(backward));
  }
});

test('rounding errors are the difference to the rounded weights, with columns scaled and back', async () => {
  for (const options of cases()) {
    if (options.rounding) continue;
    const { weights, columns } = options;
    const plain = reference.fakeQuantize(options);
    expect(await roundingErrors(options)).toEqual(weights.map((w, i) => w - (plain[i] ?? NaN)));
    const columnScale = numbers(columns, 9, 0.25, 4);
    const factor = (i: number): number => columnScale[i % columns] ?? NaN;
    const rounded = reference.fakeQuantize({ ...options, weights: weights.map((w, i) => w * factor(i)) });
    const back = rounded.map((w, i) => w / factor(i));
    expect(await roundingErrors({ ...options, columnScale })).toEqual(weights.map((w, i) => w - (back[i] ?? NaN)));
  }
  const options = { rows: 2, columns: 4, weights: new Float32Array(8), bits: 4, groupSize: -1, scheme: 'sym' } as const;
  await expect(roundingErrors({ ...options, columnScale: new Float32Array(8) })).rejects.toThrow(ShapeMismatchError);
  await expect(roundingErrors({ ...options, out: new Float32Array(7) })).rejects.toThrow(ShapeMismatchError);
});

test('what a grid promises', async () => {
  const [rows, columns, groupSize] = [8, 128, 32];
  const weights = numbers(rows * columns, 8);
  for (const scheme of schemes) {
    const options = { rows, columns, weights, bits: 4, groupSize, scheme };
    const rounded = await fakeQuantize(options);
    for (let begin = 0; begin < weights.length; begin += groupSize) {
      const group = weights.subarray(begin, begin + groupSize);
      const range = scheme === 'sym' ? Math.max(...group.map(Math.abs)) * 2 : Math.max(...group) - Math.min(...group);
      const step = range / (scheme === 'sym' ? 16 : 15);
      const values = new Set(rounded.subarray(begin, begin + groupSize));
      expect(values.size).toBeLessThanOrEqual(16);
      // Half a step, a whole one where the symmetric grid ends one code early, and the rounding of the scale.
      const bound = step * (scheme === 'sym' ? 1 : 0.5) + range * 2 ** -10;
      expect(group.every((w, i) => Math.abs((rounded[begin + i] ?? Number.NaN) - w) <= bound)).toBe(true);
    }
    // Powers of two pass through; zero stays zero.
    const doubled = await fakeQuantize({ ...options, weights: weights.map((w) => w * 4) });
    expect(doubled).toEqual(rounded.map((w) => w * 4));
    const withZero = weights.map((w, i) => (i % 5 === 0 ? 0 : w));
    const zeros = await fakeQuantize({ ...options, weights: withZero });
    expect(zeros.filter((_, i) => i % 5 === 0).every((w) => w === 0)).toBe(true);
  }
});

test('the signed extreme of a full-range grid is exact, and a tie makes the scale negative', async () => {
  const weights = Float32Array.of(0.5, -0.25, 0.125, 0, -1, 1, 0.5, 0.25);
  const rounded = await fakeQuantize({ rows: 2, columns: 4, weights, bits: 4, groupSize: -1, scheme: 'sym' });
  // Row 0: scale 0.5 / -8. Row 1: scale -1/8, so that +1 maps to code -8 and -1 is clipped to 7/8.
  expect(Array.from(rounded, (w) => w + 0)).toEqual([0.5, -0.25, 0.125, 0, -0.875, 1, 0.5, 0.25]);
});

test('gradients are derivatives, by finite differences', async () => {
  // min = -1, max = 1, and scales that put the zero point of the asymmetric grid exactly on 3: what rounding the zero point
  // and the scale changes is then too small to matter here.
  const weights = numbers(16, 9);
  weights[3] = -1;
  weights[8] = 1;
  const [alpha, beta, h] = [0.6, 0.8, 1e-5];
  for (const scheme of schemes) {
    const gradient = numbers(16, 10);
    const gradients = await fakeQuantizeBackward({
      ...{ rows: 1, columns: 16, bits: 3, groupSize: -1, scheme, weights, gradient },
      minimumScale: Float32Array.of(alpha),
      maximumScale: Float32Array.of(beta),
    });
    const loss = straightThroughLoss(weights, gradient, scheme, alpha, beta);
    const ofMinimum = (loss(alpha + h, beta) - loss(alpha - h, beta)) / (2 * h);
    const ofMaximum = (loss(alpha, beta + h) - loss(alpha, beta - h)) / (2 * h);
    expect(gradients.minimumScale[0]).toBeCloseTo(ofMinimum, 2);
    expect(gradients.maximumScale[0]).toBeCloseTo(ofMaximum, 2);
    expect(Math.abs(ofMinimum) + Math.abs(ofMaximum)).toBeGreaterThan(0.1);
  }
});

/**
 * The loss as a function of the two scales near (alpha, beta) as straight-through estimation sees it: what rounding adds to
 * each weight is a constant, and so is which weights are clipped.
 */
function straightThroughLoss(
  weights: Float32Array,
  gradient: Float32Array,
  scheme: 'sym' | 'asym',
  alpha: number,
  beta: number,
): (alpha: number, beta: number) => number {
  const maxCode = 7;
  const grid = (a: number, b: number): { scale: number; low: number; high: number } => {
    if (scheme === 'sym') return { scale: (a > b ? -a : b) / -4, low: -4, high: 3 };
    const scale = (a + b) / maxCode;
    return { scale, low: -a / scale, high: maxCode - a / scale };
  };
  const { scale, low, high } = grid(alpha, beta);
  const codes = Array.from(weights, (w) => Math.round(w / scale));
  return (a, b) => {
    const at = grid(a, b);
    return codes.reduce((sum, code, i) => {
      const w = weights[i] ?? 0;
      const clipped = code < low - 0.1 ? at.low : code > high + 0.1 ? at.high : w / at.scale + (code - w / scale);
      return sum + (gradient[i] ?? 0) * at.scale * clipped;
    }, 0);
  };
}

test('arguments that do not fit are refused', async () => {
  const good = { rows: 2, columns: 4, weights: new Float32Array(8), bits: 4, groupSize: -1, scheme: 'sym' as const };
  await expect(fakeQuantize({ ...good, bits: 9 })).rejects.toThrow(InvalidOptionError);
  await expect(fakeQuantize({ ...good, scheme: 'float' as 'sym' })).rejects.toThrow(InvalidOptionError);
  await expect(fakeQuantize({ ...good, rows: 3 })).rejects.toThrow(ShapeMismatchError);
  await expect(fakeQuantize({ ...good, minimumScale: new Float32Array(3) })).rejects.toThrow(ShapeMismatchError);
  await expect(fakeQuantizeBackward({ ...good, gradient: new Float32Array(7) })).rejects.toThrow(ShapeMismatchError);
});
