import { describe, expect, test } from '@jest/globals';
import { Matrix, unpackMatrix } from '@llm/tensor';
import fc from 'fast-check';

import { roundToHalf } from './half.ts';
import { roundToNearest } from './round-to-nearest.ts';

test('halves are those of the definition', () => {
  fc.assert(
    fc.property(fc.float({ min: -70000, max: 70000, noNaN: true }), (x) => {
      const magnitude = Math.abs(x);
      // The distance of neighbouring halves around x.
      const step = 2 ** (Math.max(Math.floor(Math.log2(magnitude)), -14) - 10);
      const half = roundToHalf(x);
      if (magnitude >= 65520) expect(half).toBe(Math.sign(x) * Infinity);
      else {
        expect(Number.isInteger(half / step)).toBe(true);
        expect(Math.abs(half - x)).toBeLessThanOrEqual(step / 2);
      }
    }),
  );
  // Ties go to the even neighbour.
  expect(roundToHalf(2049)).toBe(2048);
  expect(roundToHalf(2051)).toBe(2052);
  expect(roundToHalf(1.5 * 2 ** -24)).toBe(2 ** -23);
});

const matrices = fc
  .record({ rows: fc.integer({ min: 1, max: 40 }), columns: fc.integer({ min: 1, max: 9 }).map((n) => n * 8) })
  .chain(({ rows, columns }) =>
    fc
      .array(fc.integer({ min: -8000, max: 8000 }), { minLength: rows * columns, maxLength: rows * columns })
      .map((values) => ({ rows, columns, values: Float32Array.from(values, (value) => value / 1000) })),
  );

describe.each(['int4-sym', 'int4-asym', 'int8'] as const)('%s', (format) => {
  test('every weight is off by half a step at most', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, async ({ rows, columns, values }) => {
        using dense = Matrix.fromFloat32(values, rows, columns);
        using packed = await roundToNearest(dense, format, 32);
        const { scales } = unpackMatrix(packed);
        const groups = Math.ceil(columns / Math.min(32, columns));
        packed.toFloat32().forEach((value, i) => {
          const step = Math.abs(scales[Math.floor(i / columns) * groups + Math.floor((i % columns) / 32)] ?? NaN);
          // The end of the grid opposite to the extreme lacks half a step, and scales are rounded to 11 bits.
          const slack = format === 'int4-sym' ? 1 : 0.5;
          expect(Math.abs(value - (values[i] ?? NaN))).toBeLessThanOrEqual(step * slack * 1.01 + step * 0.01);
        });
      }),
      { numRuns: 25 },
    );
  });

  test('zero stays zero, and a row of zeros too', async () => {
    const values = Float32Array.from({ length: 64 * 2 }, (_, i) => (i < 64 ? 0 : i % 2 === 0 ? 0 : 3));
    using dense = Matrix.fromFloat32(values, 2, 64);
    using packed = await roundToNearest(dense, format, 32);
    packed.toFloat32().forEach((value, i) => {
      if (values[i] === 0) expect(Math.abs(value)).toBe(0);
    });
  });
});

test('full range: the element of largest magnitude is exact, whatever its sign', async () => {
  const values = Float32Array.from({ length: 64 }, (_, i) => (i === 5 ? 4 : i === 40 ? -4 : (i % 7) / 2 - 1.5));
  using dense = Matrix.fromFloat32(values, 1, 64);
  using packed = await roundToNearest(dense, 'int4-sym', 32);
  expect(packed.toFloat32()[5]).toBe(4);
  expect(packed.toFloat32()[40]).toBe(-4);
});

test('an abort ends it', async () => {
  using dense = Matrix.fromFloat32(new Float32Array(64), 1, 64);
  await expect(roundToNearest(dense, 'int8', 32, AbortSignal.abort('stop'))).rejects.toBe('stop');
});
