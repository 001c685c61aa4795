import { expect, test } from '@jest/globals';
import type { Grid } from '../grid.ts';
import { dequantizeMatrix, quantizeMatrix } from '../quantized-matrix.ts';
import { randomSource } from '../random.ts';
import { roundToNearest } from './round-to-nearest.ts';

const [rows, columns] = [6, 80];

const grids = [2, 3, 4, 8].flatMap((bits) =>
  [32, 40, -1].flatMap((groupSize) => (['sym', 'asym', 'min'] as const).map((scheme) => ({ bits, groupSize, scheme }))),
);

test.each<Grid>([...grids, { bits: 4, groupSize: 32, scheme: 'sym', scales: 'two-level' }])(
  'the weights that the codes stand for, exactly: %j',
  async (grid) => {
    const random = randomSource(5);
    const weights = Float32Array.from({ length: rows * columns }, () => random() + random() - 1);
    weights.fill(0, 0, 40);
    weights.fill(0.25, columns, 2 * columns);
    const expected = dequantizeMatrix(quantizeMatrix(weights, rows, columns, grid));
    // Adding 0 makes -0 a 0: a negative scale may give either.
    const plus0 = (values: Float32Array): Float32Array => values.map((w) => w + 0);
    expect(plus0(await roundToNearest(weights, columns, grid))).toEqual(plus0(expected));
  },
);
