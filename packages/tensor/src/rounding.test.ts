import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { InvalidArgumentError, InvalidOptionError } from './errors.ts';
import { Matrix, type DenseFormat } from './matrix.ts';
import { fakeQuantize } from './reference/fake-quantize.ts';
import { roundMatrix, type RoundedFormat } from './rounding.ts';
import { Storage } from './storage.ts';
import { codeBits, randomGenerator } from './testing/random-matrix.ts';

const formats: readonly RoundedFormat[] = [
  ...(['int4-sym', 'int4-asym', 'int8', 'int2-sym', 'int2-asym', 'int3-sym', 'int3-asym'] as const),
];

const cases = fc.record({
  format: fc.constantFrom(...formats),
  rows: fc.integer({ min: 1, max: 70 }),
  columns: fc.integer({ min: 1, max: 300 }),
  groupSize: fc.constantFrom(8, 32, 128, undefined),
  magnitude: fc.constantFrom(1, 1e-7, 300, 0),
  offset: fc.constantFrom(0, 3),
  seed: fc.nat(),
});

test('codes are those of the reference, value for value', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ format, rows, columns, groupSize, magnitude, offset, seed }) => {
      const random = randomGenerator(seed);
      const weights = Float32Array.from({ length: rows * columns }, () => (random() * 2 - 1 + offset) * magnitude);
      using dense = Matrix.fromFloat32(weights, rows, columns);
      using packed = await roundMatrix(dense, { format, ...(groupSize !== undefined && { groupSize }) });
      const grid = {
        rows,
        columns,
        weights,
        bits: codeBits(format),
        groupSize: groupSize === undefined ? -1 : groupSize,
        scheme: format.endsWith('-asym') ? 'asym' : 'sym',
      } as const;
      // Adding 0 makes no difference of -0 and 0.
      const [got, expected] = [packed.toFloat32(), fakeQuantize(grid)].map((all) => all.map((value) => value + 0));
      expect(got).toEqual(expected);
    }),
    { numRuns: 80 },
  );
});

test.each(['f16', 'bf16', 'int8'] as const)('rounds a matrix of %s', async (format) => {
  const rows = 40;
  const columns = 64;
  const random = randomGenerator(7);
  const values = Float32Array.from({ length: rows * columns }, () => random() - 0.5);
  using exact = Matrix.fromFloat32(values, rows, columns);
  using source = format === 'int8' ? await roundMatrix(exact, { format, groupSize: 32 }) : halves(format, values, rows);
  using asFloat = Matrix.fromFloat32(source.toFloat32(), rows, columns);
  using expected = await roundMatrix(asFloat, { format: 'int4-sym', groupSize: 32 });
  using packed = await roundMatrix(source, { format: 'int4-sym', groupSize: 32 });
  expect(packed.bytes()).toEqual(expected.bytes());
});

/** The upper halves of floats are numbers of bf16, and some numbers of f16 as good as any. */
function halves(format: DenseFormat, values: Float32Array, rows: number): Matrix {
  const bytes = new Uint8Array(
    Uint16Array.from(new Uint32Array(values.slice().buffer), (bits) => (bits >>> 16) & 0xbfff).buffer,
  );
  const storage = Storage.allocate(bytes.byteLength);
  storage.write(0, bytes);
  return Matrix.owning({ format, rows, columns: values.length / rows }, storage);
}

test('a matrix of several calls is as one', async () => {
  // 2^24 values at once: rows in two calls.
  const columns = 8192;
  const rows = 2100;
  const random = randomGenerator(3);
  const row = Float32Array.from({ length: columns }, () => random() - 0.5);
  const values = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) values.set(row, r * columns);
  using dense = Matrix.fromFloat32(values, rows, columns);
  using packed = await roundMatrix(dense, { format: 'int4-asym', groupSize: 128 });
  expect(packed.toFloat32(rows - 1, rows)).toEqual(packed.toFloat32(0, 1));
});

test.each([NaN, Infinity, -Infinity])('%p among the weights is an error that names the row', async (bad) => {
  for (const column of [0, 37]) {
    const values = new Float32Array(50 * 40);
    values[33 * 40 + column] = bad;
    using dense = Matrix.fromFloat32(values, 50, 40);
    const rounded = roundMatrix(dense, { format: 'int4-sym', groupSize: 32 });
    await expect(rounded).rejects.toThrow(InvalidArgumentError);
    await expect(rounded).rejects.toThrow('row 33');
  }
});

test('what cannot be rounded to, and aborts', async () => {
  using dense = Matrix.fromFloat32(new Float32Array(64), 1, 64);
  // @ts-expect-error - not a format to round to
  await expect(roundMatrix(dense, { format: 'int4-two' })).rejects.toThrow(InvalidOptionError);
  await expect(roundMatrix(dense, { format: 'int4-sym', groupSize: 12 })).rejects.toThrow(InvalidArgumentError);
  const aborted = roundMatrix(dense, { format: 'int8', signal: AbortSignal.abort('stop') });
  await expect(aborted).rejects.toBe('stop');
});

test('a matrix disposed of while it is rounded stays readable for the rounding', async () => {
  const dense = Matrix.fromFloat32(new Float32Array(64 * 64).fill(2), 64, 64);
  const rounding = roundMatrix(dense, { format: 'int4-sym', groupSize: 64 });
  dense[Symbol.dispose]();
  using packed = await rounding;
  expect(packed.toFloat32()).toEqual(new Float32Array(64 * 64).fill(2));
});
