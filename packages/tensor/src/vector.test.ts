import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cpuInfo } from './cpu.ts';
import { InvalidOptionError, ShapeMismatchError } from './errors.ts';
import { erf } from './operators/erf.ts';
import { randomGenerator } from './testing/random-matrix.ts';
import {
  addScaled,
  clampVector,
  expSum,
  indicesAtLeast,
  layerNormRows,
  mapBinary,
  mapUnary,
  reduceVector,
  rmsNormRows,
  ropeHeads,
  scaleVector,
  softcapVector,
  type UnaryFunction,
} from './vector.ts';

// Other tables share the vector kernels of one of these.
const own = ['avx512f', 'avx2', 'neon', 'wasm_simd128', 'scalar'];
const tables = cpuInfo()
  .tables.filter((table) => table.runnable && own.includes(table.isa))
  .map((table) => table.isa);

const normal = (length: number, seed: number, spread = 1): Float32Array<ArrayBuffer> => {
  const random = randomGenerator(seed);
  return Float32Array.from({ length }, () => (random() + random() + random() + random() - 2) * spread);
};

/** Every exponent and both signs, a few mantissas each. */
const sweep = Float32Array.from(
  { length: 2 * 256 * 32 },
  (_, i) => (i % 2 === 0 ? 1 : -1) * 2 ** ((i >> 6) - 140) * (1 + ((i >> 1) % 32) / 32),
);
const fine = Float32Array.from({ length: 40001 }, (_, i) => (i - 20000) / 1000);

const smallestNormal = 2 ** -126;

function largestError(
  x: Float32Array,
  got: Float32Array,
  exact: (value: number) => number,
  size: (value: number, result: number) => number,
): number {
  let worst = 0;
  x.forEach((value, i) => {
    const wanted = exact(value);
    const result = got[i] ?? 0;
    if (Object.is(Math.fround(wanted), result)) return;
    worst = Math.max(worst, Math.abs(result - wanted) / size(value, wanted));
  });
  return worst;
}

describe.each(tables)('%s', (isa) => {
  const relative = (_: number, result: number) => Math.max(Math.abs(result), smallestNormal);
  const ofInput = (value: number, result: number) => Math.max(Math.abs(value), Math.abs(result), smallestNormal);
  const cases: [UnaryFunction, (x: number) => number, typeof relative, number][] = [
    ['exp', Math.exp, relative, 1.5e-7],
    ['tanh', Math.tanh, relative, 3e-7],
    ['silu', (x) => x / (1 + Math.exp(-x)), (x, result) => (x < -87 ? ofInput : relative)(x, result), 3e-7],
    ['gelu', (x) => (x / 2) * (1 + erf(x / Math.SQRT2)), ofInput, 3e-7],
    ['geluTanh', (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))), ofInput, 3e-7],
    ['relu', (x) => Math.max(0, x), relative, 0],
  ];
  test.each(cases)('%s keeps its error bound', (name, exact, size, bound) => {
    expect(largestError(fine, mapUnary(name, fine, { isa }), exact, size)).toBeLessThanOrEqual(bound);
    const bounded = name === 'geluTanh' || name === 'gelu' ? sweep.filter((x) => Math.abs(x) < 1e9) : sweep;
    expect(largestError(bounded, mapUnary(name, bounded, { isa }), exact, size)).toBeLessThanOrEqual(bound);
  });

  test('extremes and NaN', () => {
    const of = (name: UnaryFunction, x: number) => mapUnary(name, Float32Array.of(x), { isa })[0];
    expect([-Infinity, -1e30, -110, Infinity, 1e30, 89].map((x) => of('exp', x))).toEqual([
      0,
      0,
      0,
      Infinity,
      Infinity,
      Infinity,
    ]);
    expect(of('exp', 0)).toBe(1);
    expect(Math.abs((of('exp', -100) ?? 0) - Math.exp(-100))).toBeLessThan(0.51 * 2 ** -149); // half a subnormal step
    expect([of('tanh', Infinity), of('tanh', -Infinity), of('tanh', 0)]).toEqual([1, -1, 0]);
    expect([of('silu', 1e30), of('gelu', Infinity), of('relu', -Infinity)]).toEqual([Math.fround(1e30), Infinity, 0]);
    for (const name of ['exp', 'tanh', 'silu', 'gelu', 'geluTanh', 'relu'] as const) expect(of(name, NaN)).toBeNaN();
    expect(clampVector(Float32Array.of(NaN, 5, -5, 0.5), -1, 1, { isa })).toEqual(Float32Array.of(NaN, 1, -1, 0.5));
  });

  test('norms', () => {
    for (const [rows, n] of [
      [1, 1],
      [3, 17],
      [2, 64],
      [2, 288],
      [1, 4099],
    ] as const) {
      const x = normal(rows * n, n, 3).map((v) => v + 0.5);
      const weight = normal(n, n + 1);
      const bias = normal(n, n + 2);
      const rms = rmsNormRows(x, weight, 1e-5, { isa });
      const layer = layerNormRows(x, weight, bias, 1e-5, { isa });
      const bare = layerNormRows(x, weight, undefined, 1e-5, { isa });
      for (let r = 0; r < rows; r++) {
        const row = Array.from(x.subarray(r * n, r * n + n));
        const mean = row.reduce((sum, v) => sum + v, 0) / n;
        const square = row.reduce((sum, v) => sum + v * v, 0) / n;
        const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n;
        let worst = 0;
        row.forEach((v, i) => {
          const w = weight[i] ?? 0;
          const size = 4 * 2e-7 * (1 + Math.abs(v) / Math.sqrt(square)) * (1 + Math.abs(w));
          const wanted = ((v - mean) / Math.sqrt(variance + 1e-5)) * w;
          const errors = [
            (rms[r * n + i] ?? 0) - (v / Math.sqrt(square + 1e-5)) * w,
            // With one value the difference from the mean is nothing but rounding.
            n === 1 ? 0 : ((bare[r * n + i] ?? 0) - wanted) / 4,
            n === 1 ? 0 : ((layer[r * n + i] ?? 0) - wanted - (bias[i] ?? 0)) / 4,
          ];
          for (const error of errors) worst = Math.max(worst, Math.abs(error) / size);
        });
        expect(worst).toBeLessThan(1);
      }
    }
  });

  test.each([false, true])('rotation, interleaved: %s', (interleaved) => {
    for (const [headDim, rotary] of [
      [2, 2],
      [64, 64],
      [80, 20],
      [96, 72],
      [128, 32],
      [40, 30],
    ] as const) {
      const heads = normal(3 * headDim, headDim);
      const angles = Array.from({ length: rotary / 2 }, (_, i) => 17 * 10000 ** ((-2 * i) / rotary));
      const cosSin = Float32Array.from(angles.flatMap((a) => [Math.cos(a), Math.sin(a)]));
      const out = ropeHeads(heads, headDim, cosSin, interleaved, { isa });
      const wanted = Array.from(heads);
      for (let h = 0; h < 3; h++)
        angles.forEach((angle, i) => {
          const first = h * headDim + (interleaved ? 2 * i : i);
          const second = interleaved ? first + 1 : first + rotary / 2;
          const [a, b] = [heads[first] ?? 0, heads[second] ?? 0];
          wanted[first] = a * Math.cos(angle) - b * Math.sin(angle);
          wanted[second] = b * Math.cos(angle) + a * Math.sin(angle);
        });
      wanted.forEach((value, i) => {
        expect(out[i]).toBeCloseTo(value, 6);
      });
    }
  });

  test('element-wise functions and reductions of any length', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 150 }), fc.integer(), (n, seed) => {
        const x = normal(n, seed, 4);
        const y = normal(n, seed + 1, 4);
        const fround = Math.fround;
        const at = (i: number) => [x[i] ?? 0, y[i] ?? 0] as const;
        const expected = (f: (a: number, b: number) => number) =>
          Float32Array.from({ length: n }, (_, i) => f(...at(i)));
        expect(mapBinary('add', x, y, { isa })).toEqual(expected((a, b) => fround(a + b)));
        expect(mapBinary('mul', x, y, { isa })).toEqual(expected((a, b) => fround(a * b)));
        expect(scaleVector(x, 0.3, { isa })).toEqual(expected((a) => fround(a * fround(0.3))));
        expect(clampVector(x, -1, 2, { isa })).toEqual(expected((a) => Math.min(2, Math.max(-1, a))));
        expect(mapBinary('siluMul', x, y, { isa })).toEqual(mapBinary('mul', mapUnary('silu', x, { isa }), y, { isa }));
        expect(mapBinary('geluMul', x, y, { isa })).toEqual(mapBinary('mul', mapUnary('gelu', x, { isa }), y, { isa }));
        expect(mapBinary('reluMul', x, y, { isa })).toEqual(mapBinary('mul', mapUnary('relu', x, { isa }), y, { isa }));
        expect(mapBinary('geluTanhMul', x, y, { isa })).toEqual(
          mapBinary('mul', mapUnary('geluTanh', x, { isa }), y, { isa }),
        );
        // The product of two float32 is exact in float64, so that only the sum rounds twice.
        addScaled(y, x, 0.7, { isa }).forEach((value, i) => {
          const [a, b] = at(i);
          expect(Math.abs(value - (b + a * fround(0.7)))).toBeLessThan(1e-6);
        });
        softcapVector(x, 2.5, { isa }).forEach((value, i) => {
          expect(value).toBeCloseTo(2.5 * Math.tanh((x[i] ?? 0) / 2.5), 6);
        });
        const sum = x.reduce((total, v) => total + v, 0);
        expect(Math.abs(reduceVector('sum', x, { isa }) - sum)).toBeLessThan(1e-4);
        expect(reduceVector('max', x, { isa })).toBe(n === 0 ? -Infinity : Math.max(...x));
        expect(reduceVector('argmax', x, { isa })).toBe(x.indexOf(Math.max(...x)));
        expect(Array.from(indicesAtLeast(x, 1, { isa }))).toEqual([...x.keys()].filter((i) => (x[i] ?? 0) >= 1));
        const { sum: total, terms } = expSum(x, 1, 0.5, { isa });
        expect(Math.abs(total / x.reduce((s, v) => s + Math.exp((v - 1) / 2), 1e-30) - 1)).toBeLessThan(n ? 1e-6 : 2);
        terms.forEach((term, i) => {
          expect(Math.abs(term / Math.exp(((x[i] ?? 0) - 1) / 2) - 1)).toBeLessThan(5e-7);
        });
      }),
      { numRuns: 40 },
    );
  });

  test('what is not finite is noticed at every place', () => {
    for (const n of [1, 15, 16, 33, 64, 130]) {
      expect(reduceVector('allFinite', normal(n, 1, 1e30), { isa })).toBe(1);
      const x = normal(n, 1);
      const missed = [...x.keys()].flatMap((i) =>
        [NaN, Infinity, -Infinity].filter((bad) => {
          const changed = Float32Array.from(x);
          changed[i] = bad;
          return reduceVector('allFinite', changed, { isa }) !== 0;
        }),
      );
      expect(missed).toEqual([]);
    }
  });

  test('argmax gives the first of equals', () => {
    const x = new Float32Array(200);
    x[77] = x[78] = x[150] = 3;
    expect(reduceVector('argmax', x, { isa })).toBe(77);
  });

  test('the bits are those of the scalar table', () => {
    for (const n of [1, 16, 63, 300]) {
      const x = normal(n, n, 5);
      const y = normal(n, n + 1);
      const both = (call: (options: { isa: string }) => number | Float32Array<ArrayBuffer>) => {
        const [got, wanted] = [call({ isa }), call({ isa: 'scalar' })];
        if (typeof got === 'number' || typeof wanted === 'number') expect(got).toBe(wanted);
        else expect(Buffer.compare(Buffer.from(got.buffer), Buffer.from(wanted.buffer))).toBe(0);
      };
      for (const name of ['exp', 'tanh', 'silu', 'gelu', 'geluTanh'] as const) {
        both((options) => mapUnary(name, x, options));
        both((options) => mapUnary(name, sweep, options));
      }
      both((options) => rmsNormRows(x, y, 1e-6, options));
      both((options) => layerNormRows(x, y, undefined, 1e-6, options));
      both((options) => expSum(x, 2, 0.7, options).sum);
      both((options) => expSum(x, 2, 0.7, options).terms);
      both((options) => addScaled(x, y, 0.1, options));
      both((options) => reduceVector('sum', x, options));
      both((options) => softcapVector(x, 3, options));
    }
  });
});

test('wrong sizes and kernels are refused', () => {
  const x = new Float32Array(6);
  expect(() => mapBinary('add', x, new Float32Array(5))).toThrow(ShapeMismatchError);
  expect(() => rmsNormRows(x, new Float32Array(4), 1e-5)).toThrow(ShapeMismatchError);
  expect(() => ropeHeads(x, 4, new Float32Array(4), false)).toThrow(ShapeMismatchError);
  expect(() => mapUnary('exp', x, { isa: 'avx1024' })).toThrow(InvalidOptionError);
});
