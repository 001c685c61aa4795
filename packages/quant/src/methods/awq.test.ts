import { expect, test } from '@jest/globals';
import { collectStatistics } from '../calibration/statistics.ts';
import type { Grid } from '../grid.ts';
import { dequantizeMatrix, quantizeMatrix } from '../quantized-matrix.ts';
import { randomSource } from '../random.ts';
import { scaledStatistics, searchScale } from './awq.ts';
import { quantizeByGram } from './gram-clip.ts';
import { outputError } from './output-error.ts';

const [rows, columns] = [24, 64];
const grid: Grid = { bits: 3, groupSize: 32, scheme: 'asym' };

function normals(count: number, seed: number): Float32Array {
  const random = randomSource(seed);
  return Float32Array.from({ length: count }, () => random() + random() + random() + random() - 2);
}

/** Inputs of which a few channels are much larger than the others. */
function inputsWithOutliers(): Float32Array {
  return normals(300 * columns, 1).map((x, i) => x * ((i % columns) % 13 === 5 ? 30 : 1));
}

const weights = normals(rows * columns, 2);

test('large input channels get a finer grid, and the output error falls well below that of rounding', async () => {
  const statistics = await collectStatistics(inputsWithOutliers(), columns);
  const candidates = await searchScale([{ weights, grid }], statistics);
  const [best] = candidates;
  const plain = await outputError(
    weights,
    dequantizeMatrix(quantizeMatrix(weights, rows, columns, grid)),
    statistics.gram,
    columns,
  );
  const identity = candidates.find(({ factors }) => factors.every((factor) => factor === 1));
  expect(identity?.error).toBeCloseTo(plain, 5);
  expect(best?.error).toBeLessThan(0.5 * plain);
  expect(best?.factors.every((factor) => factor > 0 && Number.isFinite(factor))).toBe(true);
  expect(best?.factors[5]).toBeGreaterThan(2 * (best?.factors[6] ?? NaN));
});

test('all ones wins where nothing is gained', async () => {
  const statistics = {
    columns,
    tokens: 1,
    gram: new Float32Array(columns * columns),
    meanAbsolute: new Float32Array(columns),
    meanSquare: new Float32Array(columns),
  };
  const [best] = await searchScale([{ weights: new Float32Array(rows * columns), grid }], statistics);
  expect(best).toEqual({ factors: new Float32Array(columns).fill(1), error: 0 });
});

test('columns that share a factor have one', async () => {
  const statistics = await collectStatistics(inputsWithOutliers(), columns);
  const tied = Int32Array.from({ length: columns }, (_, c) => c % 16);
  const [best] = await searchScale(
    [
      { weights, grid },
      { weights: normals(8 * columns, 3), grid },
    ],
    statistics,
    { columns: tied },
  );
  expect(best?.factors).toHaveLength(16);
});

test('statistics of a scaled input are those that it would give', async () => {
  const x = inputsWithOutliers();
  const factors = Float32Array.from({ length: columns }, (_, c) => 0.5 + c / 20);
  const scaled = scaledStatistics(await collectStatistics(x, columns), factors);
  const again = await collectStatistics(
    x.map((value, i) => value / (factors[i % columns] ?? 1)),
    columns,
  );
  for (const key of ['gram', 'meanAbsolute', 'meanSquare'] as const)
    for (const [i, value] of scaled[key].entries())
      expect(Math.abs(value - (again[key][i] ?? NaN))).toBeLessThan(1e-4 * (1 + Math.abs(value)));
});

test('clipping by the Gram matrix: no group is worse than unclipped, and the whole is better', async () => {
  const { gram } = await collectStatistics(inputsWithOutliers(), columns);
  for (const scheme of ['sym', 'asym', 'min'] as const)
    for (const bits of [2, 3, 4]) {
      const each: Grid = { bits, groupSize: -1, scheme };
      // One group per row: the group's error is the row's.
      const clipped = await outputError(
        weights,
        dequantizeMatrix(await quantizeByGram(weights, rows, columns, each, gram)),
        gram,
        columns,
      );
      const plain = await outputError(
        weights,
        dequantizeMatrix(quantizeMatrix(weights, rows, columns, each)),
        gram,
        columns,
      );
      expect(clipped).toBeLessThan(plain);
    }
  const zero = await quantizeByGram(new Float32Array(rows * columns), rows, columns, grid, gram);
  expect(dequantizeMatrix(zero)).toEqual(new Float32Array(rows * columns));
});
