import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Matrix, Storage } from '@llm/tensor';
import { RecipeError } from './errors.ts';
import { packedBytes, packedDescription, storageFormat } from './pack.ts';
import { dequantizeMatrix, quantizeMatrix } from './quantized-matrix.ts';

const grids = fc
  .record({
    bits: fc.integer({ min: 2, max: 8 }),
    groupSize: fc.constantFrom(-1, 32, 40, 128),
    scheme: fc.constantFrom('sym', 'asym', 'min'),
    scales: fc.constantFrom('half', 'two-level'),
  })
  .filter(({ bits, scheme, scales }) =>
    scales === 'half' ? scheme === 'sym' || bits <= (scheme === 'asym' ? 7 : 4) : bits <= 4 && scheme !== 'min',
  );

test('what is stored is what was searched for, bit for bit', () => {
  fc.assert(
    fc.property(
      grids,
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 150 }),
      fc.integer(),
      (grid, rows, columns, seed) => {
        const weights = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(seed + i * i) * (1 + (i % 7)));
        const matrix = quantizeMatrix(weights, rows, columns, grid);
        const bytes = packedBytes(matrix);
        expect(bytes.length % 64).toBe(0);
        using storage = Storage.allocate(bytes.length);
        storage.write(0, bytes);
        using loaded = new Matrix(packedDescription(grid, rows, columns), storage);
        // + 0: the sign of a zero does not matter.
        expect(loaded.toFloat32().map((w) => w + 0)).toEqual(dequantizeMatrix(matrix));
      },
    ),
  );
});

test('blocks of 32 rows packed apart are the whole, packed', () => {
  const [rows, columns] = [90, 100];
  const weights = Float32Array.from({ length: rows * columns }, (_, i) => Math.cos(i * i));
  for (const scheme of ['sym', 'asym', 'min'] as const) {
    const grid = { bits: 4, groupSize: 32, scheme };
    const whole = packedBytes(quantizeMatrix(weights, rows, columns, grid));
    const parts = [weights.subarray(0, 64 * columns), weights.subarray(64 * columns)].map((part) =>
      packedBytes(quantizeMatrix(part, part.length / columns, columns, grid)),
    );
    expect(Buffer.concat(parts)).toEqual(Buffer.from(whole));
  }
});

test('grids without storage are refused', () => {
  expect(() => storageFormat({ bits: 8, groupSize: 32, scheme: 'asym' })).toThrow(RecipeError);
  expect(() => storageFormat({ bits: 6, groupSize: 32, scheme: 'min' })).toThrow('Use sym');
});
