import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { InvalidOptionError } from '@llm/tensor';
import { clipRatios, fitGroupBySearch } from './clip-search.ts';
import {
  decode,
  encode,
  fitGroup,
  groupError,
  schemes,
  validateGrid,
  type Grid,
  type GroupParameters,
} from './grid.ts';
import { roundToHalf } from './half.ts';

const grids = fc.record({
  bits: fc.integer({ min: 2, max: 8 }),
  groupSize: fc.constant(-1),
  scheme: fc.constantFrom(...schemes),
});
const group = fc
  .array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 1, maxLength: 70 })
  .map((values) => Float32Array.from(values));

function fit(grid: Grid, weights: Float32Array): GroupParameters {
  const out = { scale: NaN, zeroPoint: NaN, minimum: NaN };
  fitGroup(grid, weights, 0, weights.length, out);
  return out;
}

test('an element inside the grid is off by half a step at most', () => {
  fc.assert(
    fc.property(grids, group, (grid, weights) => {
      const parameters = fit(grid, weights);
      const maxCode = 2 ** grid.bits - 1;
      // Where the scale is a subnormal half, a step is as coarse as halves are.
      const step = Math.abs(parameters.scale) * (1 + 1e-6);
      for (const w of weights) {
        const q = encode(maxCode, parameters, w);
        expect(Number.isInteger(q) && q >= 0 && q <= maxCode).toBe(true);
        const low = decode(parameters, 0);
        const high = decode(parameters, maxCode);
        const inside = w >= Math.min(low, high) && w <= Math.max(low, high);
        if (inside) expect(Math.abs(w - decode(parameters, q))).toBeLessThanOrEqual(step / 2 + 1e-12);
      }
    }),
  );
});

test('zero is exact in sym and asym', () => {
  fc.assert(
    fc.property(grids, group, (grid, weights) => {
      fc.pre(grid.scheme !== 'min');
      const parameters = fit(grid, weights);
      expect(decode(parameters, encode(2 ** grid.bits - 1, parameters, 0))).toBeCloseTo(0, 12);
    }),
  );
});

test('full-range symmetric: the extreme maps to the lowest code, a tie makes the scale negative', () => {
  const grid: Grid = { bits: 4, groupSize: -1, scheme: 'sym' };
  expect(fit(grid, Float32Array.of(1, 4, -2))).toEqual({ scale: -0.5, zeroPoint: 8, minimum: 0 });
  expect(fit(grid, Float32Array.of(1, 2, -4))).toEqual({ scale: 0.5, zeroPoint: 8, minimum: 0 });
  expect(fit(grid, Float32Array.of(4, -4)).scale).toBe(-0.5);
  fc.assert(
    fc.property(group, fc.integer({ min: 2, max: 8 }), (weights, bits) => {
      const extreme = Math.max(...weights) >= -Math.min(...weights) ? Math.max(...weights) : Math.min(...weights);
      fc.pre(Math.abs(extreme) > 1e-3);
      const parameters = fit({ bits, groupSize: -1, scheme: 'sym' }, weights);
      expect(encode(2 ** bits - 1, parameters, extreme)).toBe(0);
      expect(decode(parameters, 0)).toBeCloseTo(extreme, 2);
    }),
  );
});

test('a power of two scales the result and nothing else', () => {
  fc.assert(
    fc.property(grids, group, fc.integer({ min: 0, max: 5 }), (grid, weights, exponent) => {
      const factor = 2 ** exponent;
      const small = fit(grid, weights);
      fc.pre(Math.abs(small.scale) > 2 ** -14 && (small.minimum === 0 || Math.abs(small.minimum) > 2 ** -14));
      const large = fit(
        grid,
        weights.map((w) => w * factor),
      );
      for (const w of weights) {
        const maxCode = 2 ** grid.bits - 1;
        expect(encode(maxCode, large, w * factor)).toBe(encode(maxCode, small, w));
      }
      expect(large.scale).toBe(small.scale * factor);
    }),
  );
});

test('scales and minima are half-precision numbers', () => {
  fc.assert(
    fc.property(grids, group, (grid, weights) => {
      const { scale, minimum } = fit(grid, weights);
      expect(roundToHalf(scale)).toBe(scale);
      expect(roundToHalf(minimum)).toBe(minimum);
    }),
  );
});

test('a group of one sign keeps zero in an asymmetric grid and not in a free one', () => {
  const weights = Float32Array.of(3, 3.5, 4.5);
  const asym = fit({ bits: 4, groupSize: -1, scheme: 'asym' }, weights);
  expect(asym).toEqual({ scale: roundToHalf(0.3), zeroPoint: 0, minimum: 0 });
  const min = fit({ bits: 4, groupSize: -1, scheme: 'min' }, weights);
  expect(min).toEqual({ scale: roundToHalf(0.1), zeroPoint: 0, minimum: 3 });
});

test('zeros and constants are defined', () => {
  for (const scheme of schemes) {
    const grid: Grid = { bits: 4, groupSize: -1, scheme };
    const zeros = fit(grid, new Float32Array(5));
    expect(decode(zeros, encode(15, zeros, 0))).toBe(0);
    const constant = fit(grid, Float32Array.of(0.75, 0.75));
    expect(decode(constant, encode(15, constant, 0.75))).toBeCloseTo(0.75, 3);
    const tiny = fit(grid, Float32Array.of(1e-9, -2e-9));
    expect(Math.abs(decode(tiny, encode(15, tiny, 1e-9)))).toBeLessThan(1e-7);
  }
});

test('a search is never worse than the range as it is', () => {
  fc.assert(
    fc.property(grids, group, fc.boolean(), (grid, weights, weighted) => {
      const importance = weighted ? weights.map((w) => w * w + 0.1) : undefined;
      const maxCode = 2 ** grid.bits - 1;
      const searched: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
      fitGroupBySearch(grid, clipRatios(grid.bits), weights, 0, weights.length, searched, importance);
      const error = groupError(maxCode, searched, weights, 0, weights.length, importance);
      const plain = groupError(maxCode, fit(grid, weights), weights, 0, weights.length, importance);
      expect(error).toBeLessThanOrEqual(plain);
    }),
  );
});

test('a grid out of range is refused', () => {
  expect(() => {
    validateGrid({ bits: 9, groupSize: 32, scheme: 'sym' });
  }).toThrow(InvalidOptionError);
  expect(() => {
    validateGrid({ bits: 4, groupSize: 33, scheme: 'sym' });
  }).toThrow('groupSize=33');
  expect(() => {
    validateGrid({ bits: 4, groupSize: 2048, scheme: 'sym' });
  }).toThrow(InvalidOptionError);
  expect(() => {
    validateGrid({ bits: 4, groupSize: 64, scheme: 'symmetric' as 'sym' });
  }).toThrow('sym, asym, min');
});
