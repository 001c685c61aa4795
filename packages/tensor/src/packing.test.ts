import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DisposedError, InvalidArgumentError, ShapeMismatchError } from './errors.ts';
import { Matrix, packedByteLength, type PackedFormat } from './matrix.ts';
import { packMatrix, packMatrixAsync, unpackMatrix, type PlainCodes } from './packing.ts';
import { Storage } from './storage.ts';
import { packedCase, packedFormats, randomGenerator, zeroCode } from './testing/random-matrix.ts';

const shapes = fc.record({
  format: fc.constantFrom(...packedFormats),
  rows: fc.integer({ min: 1, max: 70 }),
  columns: fc.integer({ min: 1, max: 300 }),
  groupSize: fc.constantFrom(8, 16, 24, 32, 64, 128, undefined),
  seed: fc.nat(),
});

function describe({
  format,
  rows,
  columns,
  groupSize,
}: {
  format: PackedFormat;
  rows: number;
  columns: number;
  groupSize: number | undefined;
}) {
  return { format, rows, columns, ...(groupSize === undefined ? {} : { groupSize }) };
}

test('unpacking gives back what was packed', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const description = describe(shape);
      const plain = packedCase(description, randomGenerator(shape.seed));
      using matrix = packMatrix(description, plain);
      expect(matrix.byteLength % 64).toBe(0);
      expect(unpackMatrix(matrix)).toEqual(plain);
    }),
    { numRuns: 60 },
  );
});

test('float32 values are those of the formulas', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const description = describe(shape);
      const plain = packedCase(description, randomGenerator(shape.seed));
      using matrix = packMatrix(description, plain);
      expect(matrix.toFloat32()).toEqual(values(matrix, plain));
    }),
    { numRuns: 60 },
  );
});

/** w from its definition, in float32 steps. */
function values({ format, rows, columns, groupSize = columns, groups }: Matrix, plain: PlainCodes): Float32Array {
  const w = new Float32Array(rows * columns);
  for (let n = 0; n < rows; n++)
    for (let k = 0; k < columns; k++) {
      const g = n * groups + Math.floor(k / groupSize);
      const code = plain.codes[n * columns + k] ?? 0;
      const scale = plain.multipliers
        ? Math.fround((plain.scales[n] ?? 0) * (plain.multipliers[g] ?? 0))
        : (plain.scales[g] ?? 0);
      const zero = plain.zeroPoints?.[g] ?? zeroCode(format as PackedFormat);
      w[n * columns + k] = scale * (code - zero);
      if (plain.minima) w[n * columns + k] = scale * code + (plain.minima[g] ?? 0);
    }
  return w;
}

test('the layout is that of docs/formats/packed.md', () => {
  // Column 17 of a block, group 1, k = 32 + 8 + 6 of a symmetric matrix in groups of 32.
  const [rows, columns, groupSize] = [40, 64, 32];
  const codes = new Uint8Array(rows * columns).fill(8);
  codes[17 * columns + 46] = 3;
  const scales = new Float32Array(rows * 2).fill(1);
  scales[17 * 2 + 1] = 2;
  const bytes = packMatrix({ format: 'int4-sym', rows, columns, groupSize }, { codes, scales }).bytes();
  const group = 64 + 4 * 128; // scales and four octets
  expect(bytes.length).toBe(2 * 2 * group);
  expect(bytes[group + 2 * 17 + 1]).toBe(0x40); // 2 as float16
  // Octet 1, line 1, lane 1, byte 2; k = 4 + 2 of the octet is in the high nibble.
  expect(bytes[group + 64 + 128 + 64 + 4 + 2]).toBe(0x38);
});

test('sizes of known shapes', () => {
  const shape = { rows: 32, columns: 128, groupSize: 32 };
  expect(packedByteLength({ format: 'int4-sym', ...shape })).toBe(4 * (64 + 512));
  expect(packedByteLength({ format: 'int4-asym', ...shape })).toBe(64 + 4 * (64 + 512));
  expect(packedByteLength({ format: 'int4-min', ...shape })).toBe(4 * (128 + 512));
  expect(packedByteLength({ format: 'int4-two', ...shape })).toBe(128 + 64 + 4 * 512);
  expect(packedByteLength({ format: 'int4-two-asym', ...shape })).toBe(128 + 128 + 4 * 512);
  expect(packedByteLength({ format: 'int8', ...shape })).toBe(4 * (64 + 1024));
  expect(packedByteLength({ format: 'int2-sym', ...shape })).toBe(4 * (64 + 256));
  expect(packedByteLength({ format: 'int3-asym', ...shape })).toBe(64 + 4 * (64 + 384));
  expect(packedByteLength({ format: 'int3-sym', rows: 32, columns: 24, groupSize: 8 })).toBe(3 * (64 + 128)); // padded
  expect(packedByteLength({ format: 'int4-sym', rows: 33, columns: 12 })).toBe(2 * (64 + 2 * 128));
  expect(packedByteLength({ format: 'bf16', rows: 3, columns: 5 })).toBe(30);
});

test('bad descriptions, sizes and values are refused', () => {
  const description = { format: 'int4-sym', rows: 4, columns: 64, groupSize: 32 } as const;
  const plain = packedCase(description, randomGenerator(1));
  expect(() => packedByteLength({ ...description, groupSize: 12 })).toThrow(InvalidArgumentError);
  expect(() => packedByteLength({ ...description, rows: 0 })).toThrow(InvalidArgumentError);
  expect(() => packedByteLength({ ...description, columns: 2 ** 40 })).toThrow(InvalidArgumentError);
  expect(() => packMatrix(description, { ...plain, scales: new Float32Array(7) })).toThrow(ShapeMismatchError);
  expect(() => packMatrix(description, { ...plain, codes: plain.codes.map(() => 16) })).toThrow(
    'codes have too many bits',
  );
  expect(() => new Matrix(description, Storage.allocate(2 ** 12), 32)).toThrow('multiple of 64');
  expect(() => new Matrix(description, Storage.allocate(64))).toThrow(InvalidArgumentError);
  using matrix = packMatrix(description, plain);
  expect(() => matrix.toFloat32(3, 5)).toThrow(InvalidArgumentError);
  matrix[Symbol.dispose]();
  expect(() => matrix.toFloat32()).toThrow(DisposedError);
});

test('a matrix keeps its bytes when its storage is disposed of', () => {
  const storage = Storage.allocate(16);
  storage.write(0, new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer));
  const matrix = new Matrix({ format: 'f32', rows: 2, columns: 2 }, storage);
  storage[Symbol.dispose]();
  expect([...matrix.toFloat32(1)]).toEqual([3, 4]);
});

test('16-bit floats, subnormal and infinite ones too', () => {
  const bits = Uint16Array.from([0x3c00, 0xc000, 0x0001, 0x7c00, 0x8400, 0x7bff]);
  const storage = Storage.allocate(12);
  storage.write(0, new Uint8Array(bits.buffer));
  const half = new Matrix({ format: 'f16', rows: 1, columns: 6 }, storage).toFloat32();
  expect([...half]).toEqual([1, -2, 2 ** -24, Infinity, -(2 ** -14), 65504]);
  const brain = new Matrix({ format: 'bf16', rows: 1, columns: 6 }, storage).toFloat32();
  expect(brain[0]).toBe(0.0078125);
});

test('packing off the event loop gives the same bytes', async () => {
  const description = { format: 'int4-asym', rows: 100, columns: 200, groupSize: 64 } as const;
  const plain = packedCase(description, randomGenerator(3));
  const matrix = await packMatrixAsync(description, plain);
  expect(matrix.bytes()).toEqual(packMatrix(description, plain).bytes());
});

test('a range of rows is seen in place', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const description = describe({ ...shape, rows: shape.rows + 32 });
      using matrix = packMatrix(description, packedCase(description, randomGenerator(shape.seed)));
      const border = 32 * Math.floor(matrix.rows / 32);
      using first = matrix.rowRange(0, border);
      expect(first.toFloat32()).toEqual(matrix.toFloat32(0, border));
      if (border === matrix.rows) return;
      using rest = matrix.rowRange(border, matrix.rows);
      expect(rest.toFloat32()).toEqual(matrix.toFloat32(border));
      expect(() => matrix.rowRange(border - 1, matrix.rows)).toThrow(InvalidArgumentError);
    }),
    { numRuns: 30 },
  );
});
