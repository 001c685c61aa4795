import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ShapeMismatchError } from '@llm/tensor';
import { UnquantizableWeightError } from './errors.ts';
import { schemes } from './grid.ts';
import { dequantizeMatrix, matrixError, quantizeMatrix } from './quantized-matrix.ts';

const weight = fc.float({ min: -4, max: 4, noNaN: true });
const problem = fc
  .record({
    rows: fc.integer({ min: 1, max: 4 }),
    columns: fc.integer({ min: 1, max: 150 }),
    bits: fc.integer({ min: 2, max: 8 }),
    groupSize: fc.constantFrom(-1, 32, 40, 64, 1024),
    scheme: fc.constantFrom(...schemes),
    clipSearch: fc.boolean(),
  })
  .chain((shape) =>
    fc
      .array(weight, { minLength: shape.rows * shape.columns, maxLength: shape.rows * shape.columns })
      .map((values) => ({ ...shape, weights: Float32Array.from(values) })),
  );

test('quantizing what was dequantized gives the same weights', () => {
  fc.assert(
    fc.property(problem, ({ rows, columns, weights, ...grid }) => {
      fc.pre(grid.scheme !== 'min'); // its rounded minimum is not on its own grid again
      const first = dequantizeMatrix(quantizeMatrix(weights, rows, columns, grid));
      const again = dequantizeMatrix(quantizeMatrix(first, rows, columns, { ...grid, bits: 8 }));
      const step = 4 / 64;
      for (const [i, w] of first.entries()) expect(Math.abs((again[i] ?? NaN) - w)).toBeLessThanOrEqual(step);
    }),
  );
});

test('groups do not see each other, and rows neither', () => {
  fc.assert(
    fc.property(problem, ({ rows, columns, weights, clipSearch, ...grid }) => {
      const whole = dequantizeMatrix(quantizeMatrix(weights, rows, columns, grid, { clipSearch }));
      const length = grid.groupSize === -1 ? columns : grid.groupSize;
      for (let row = 0; row < rows; row++)
        for (let begin = 0; begin < columns; begin += length) {
          const part = weights.slice(row * columns + begin, row * columns + Math.min(begin + length, columns));
          const alone = quantizeMatrix(part, 1, part.length, { ...grid, groupSize: -1 }, { clipSearch });
          const there = whole.slice(row * columns + begin, row * columns + begin + part.length);
          expect(dequantizeMatrix(alone)).toEqual(there);
        }
    }),
  );
});

test('a search lowers the error of the matrix, more bits do too', () => {
  const weights = Float32Array.from({ length: 6 * 100 }, (_, i) => Math.sin(i * i) * (i % 37 === 0 ? 5 : 1));
  for (const scheme of schemes) {
    const error = (bits: number, clipSearch: boolean): number =>
      matrixError(weights, quantizeMatrix(weights, 6, 100, { bits, groupSize: 64, scheme }, { clipSearch }))
        .squaredError;
    expect(error(3, true)).toBeLessThan(error(3, false));
    expect(error(4, false)).toBeLessThan(error(3, false));
    expect(error(8, false)).toBeLessThan(error(4, false) / 50);
  }
});

test('the error is that of the dequantized weights', () => {
  const weights = Float32Array.from({ length: 3 * 70 }, (_, i) => Math.cos(i * 1.7));
  const matrix = quantizeMatrix(weights, 3, 70, { bits: 4, groupSize: 32, scheme: 'asym' });
  const restored = dequantizeMatrix(matrix);
  const { squaredError, squaredNorm } = matrixError(weights, matrix);
  expect(squaredError).toBeCloseTo(
    weights.reduce((sum, w, i) => sum + (w - (restored[i] ?? 0)) ** 2, 0),
    6,
  );
  expect(squaredNorm).toBeCloseTo(
    weights.reduce((sum, w) => sum + w * w, 0),
    6,
  );
});

test('importance decides which elements of a group a search cares for', () => {
  const weights = Float32Array.from({ length: 64 }, (_, i) => (i === 5 ? 8 : Math.sin(i)));
  const importance = new Float32Array(64).fill(1);
  importance[5] = 0;
  const grid = { bits: 3, groupSize: -1, scheme: 'sym' } as const;
  const options = { clipSearch: { lowest: 0.1, steps: 60 } };
  const plain = dequantizeMatrix(quantizeMatrix(weights, 1, 64, grid, options));
  const weighted = dequantizeMatrix(quantizeMatrix(weights, 1, 64, grid, { ...options, importance }));
  const others = (restored: Float32Array): number =>
    weights.reduce((sum, w, i) => sum + (i === 5 ? 0 : (w - (restored[i] ?? 0)) ** 2), 0);
  expect(others(weighted)).toBeLessThan(others(plain));
});

test('bad weights are named', () => {
  const grid = { bits: 4, groupSize: 32, scheme: 'sym' } as const;
  const weights = new Float32Array(64).fill(1);
  weights[40] = NaN;
  expect(() => quantizeMatrix(weights, 2, 32, grid, { name: 'lm_head.weight' })).toThrow(UnquantizableWeightError);
  expect(() => quantizeMatrix(weights, 2, 32, grid, { name: 'lm_head.weight' })).toThrow(
    'lm_head.weight: the weight at row 1, column 8 is NaN',
  );
  weights[40] = -Infinity;
  expect(() => quantizeMatrix(weights, 2, 32, grid)).toThrow('-Infinity');
  weights[40] = 1e6;
  expect(() => quantizeMatrix(weights, 2, 32, grid)).toThrow('too large');
  expect(() => quantizeMatrix(weights, 3, 32, grid)).toThrow(ShapeMismatchError);
});

test('two-level scales: multiples of one per row, little worse than scales of their own', () => {
  const weights = Float32Array.from({ length: 5 * 200 }, (_, i) => Math.sin(i * i) * (1 + (Math.floor(i / 40) % 5)));
  weights.fill(0, 200, 240);
  for (const scheme of ['sym', 'asym'] as const) {
    const grid = { bits: 4, groupSize: 40, scheme } as const;
    const matrix = quantizeMatrix(weights, 5, 200, { ...grid, scales: 'two-level' });
    const { scales, rowScales, multipliers } = matrix;
    for (const [i, scale] of scales.entries()) {
      const multiplier = multipliers?.[i] ?? 0;
      expect(multiplier).toBeGreaterThanOrEqual(1);
      expect(multiplier).toBeLessThanOrEqual(16);
      expect(scale).toBe(Math.fround((rowScales?.[Math.floor(i / 5)] ?? NaN) * multiplier));
    }
    const own = matrixError(weights, quantizeMatrix(weights, 5, 200, grid)).squaredError;
    expect(matrixError(weights, matrix).squaredError).toBeLessThan(1.5 * own);
  }
});
