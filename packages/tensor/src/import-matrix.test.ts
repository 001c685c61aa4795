import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { InvalidArgumentError } from './errors.ts';
import {
  dequantizeLinear,
  dequantizeLinearAsync,
  importGguf,
  importGgufAsync,
  importLinear,
  importLinearAsync,
  importTransposed,
  importTransposedAsync,
  type FieldOrder,
  type StoredLinear,
} from './import-matrix.ts';
import type { PackedFormat } from './matrix.ts';
import { packMatrix } from './packing.ts';
import { Storage } from './storage.ts';
import { packedCase, randomGenerator } from './testing/random-matrix.ts';

/** A plain decoder of GGUF blocks, written from the format's description. */
function decodeGguf(type: string, bytes: Uint8Array): number[] {
  const values: number[] = [];
  const half = (at: number) => {
    const [bits = 0] = new Uint16Array(bytes.slice(at, at + 2).buffer);
    const exponent = (bits >> 10) & 31;
    const mantissa = bits & 1023;
    const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
  };
  const size = { Q4_0: 18, Q4_1: 20, Q8_0: 34 }[type] ?? 0;
  for (let block = 0; block < bytes.length; block += size) {
    const scale = half(block);
    for (let i = 0; i < 32; i++) {
      const byte = (start: number, j: number) => bytes[block + start + j] ?? 0;
      const nibble = (start: number) => (i < 16 ? byte(start, i) & 15 : byte(start, i - 16) >> 4);
      if (type === 'Q4_0') values.push(scale * (nibble(2) - 8));
      if (type === 'Q4_1') values.push(Math.fround(scale * nibble(4) + half(block + 2)));
      if (type === 'Q8_0') values.push(scale * ((byte(2, i) << 24) >> 24));
    }
  }
  return values;
}

test.each(['Q4_0', 'Q4_1', 'Q8_0'] as const)('%s blocks are laid out anew without loss', async (type) => {
  const [rows, columns] = [37, 96];
  const size = { Q4_0: 18, Q4_1: 20, Q8_0: 34 }[type];
  const random = randomGenerator(5);
  const bytes = Uint8Array.from({ length: rows * (columns / 32) * size }, () => random() * 256);
  for (let block = 0; block < bytes.length; block += size) {
    bytes[block + 1] = (bytes[block + 1] ?? 0) & 0xbf; // finite float16
    if (type === 'Q4_1') bytes[block + 3] = (bytes[block + 3] ?? 0) & 0xbf;
  }
  const offset = 6;
  const storage = Storage.allocate(bytes.length + offset);
  storage.write(offset, bytes);
  const expected = Float32Array.from(decodeGguf(type, bytes));
  const { matrix, largestError } = importGguf(type, storage, offset, rows, columns);
  expect(matrix.toFloat32()).toEqual(expected);
  expect(largestError).toBe(0);

  const rowOrder = Int32Array.from({ length: rows }, (_, row) => (row * 5) % rows);
  const { matrix: reordered } = await importGgufAsync(type, storage, offset, rows, columns, { rowOrder });
  for (let row = 0; row < rows; row++) {
    const from = (rowOrder[row] ?? 0) * columns;
    expect(reordered.toFloat32(row, row + 1)).toEqual(expected.subarray(from, from + columns));
  }
  expect(() => importGguf(type, storage, offset, rows + 1, columns)).toThrow(InvalidArgumentError);
  expect(() => importGguf(type, storage, offset, rows, 33)).toThrow(InvalidArgumentError);
  expect(() => importGguf(type, storage, offset, rows, columns, { rowOrder: new Int32Array(rows).fill(rows) })).toThrow(
    InvalidArgumentError,
  );
});

// Tests run in a context of their own, where every look at a global object is slow.
const { abs, ceil, floor, max } = Math;

/** Fields as words, one bit after the other, from the definition of the orders. */
function words(
  order: FieldOrder,
  bits: number,
  rows: number,
  columns: number,
  field: (r: number, c: number) => number,
) {
  const perRow = ceil((columns * bits) / 32);
  const out = new Uint32Array(order === 'interleaved' ? (columns * rows) / 8 : rows * perRow);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      for (let bit = 0; bit < bits; bit++) {
        const at = c * bits + bit;
        const word = order === 'down' ? floor(at / 32) * rows + r : r * perRow + floor(at / 32);
        const [index, shift] =
          order === 'interleaved'
            ? [c * (rows / 8) + floor(r / 8), 4 * [0, 2, 4, 6, 1, 3, 5, 7].indexOf(r % 8) + bit]
            : [word, at % 32];
        out[index] = ((out[index] ?? 0) | (((field(r, c) >> bit) & 1) << shift)) >>> 0;
      }
    }
  }
  return new Uint8Array(out.buffer);
}

/** Bytes in a storage, at an address that is no multiple of anything. */
function place(bytes: Uint8Array, offset = 3): { storage: Storage; offset: number } {
  const storage = Storage.allocate(bytes.length + offset);
  storage.write(offset, bytes);
  return { storage, offset };
}

const linears = fc.record({
  order: fc.constantFrom<FieldOrder>('down', 'across', 'interleaved'),
  bits: fc.constantFrom(2, 3, 4, 8),
  asymmetric: fc.boolean(),
  rows: fc.integer({ min: 1, max: 7 }),
  columns: fc.integer({ min: 1, max: 140 }),
  groupSize: fc.constantFrom(8, 32, 64, 1000),
  byRow: fc.boolean(),
  added: fc.boolean(),
  seed: fc.nat(),
});

test('linears of other quantizers are laid out anew, byte for byte as their codes are packed', async () => {
  await fc.assert(
    fc.asyncProperty(linears, async (drawn) => {
      const { order, columns, groupSize, byRow, seed } = drawn;
      const bits = order === 'interleaved' ? 4 : drawn.bits;
      const rows = order === 'interleaved' ? 8 * drawn.rows : 5 * drawn.rows;
      const asymmetric = drawn.asymmetric && bits < 8;
      const format = (bits === 8 ? 'int8' : `int${bits}-${asymmetric ? 'asym' : 'sym'}`) as PackedFormat;
      const description = { format, rows, columns, groupSize };
      const plain = packedCase(description, randomGenerator(seed));
      const groups = ceil(columns / groupSize);
      const top = 2 ** bits;
      const zeros = plain.zeroPoints;
      const less = drawn.added ? 1 : 0;
      const zeroAt = (r: number, g: number) => ((zeros?.[r * groups + g] ?? 0) + top - less) % top;
      const scaleAt = (i: number) =>
        (byRow ? plain.scales[i] : plain.scales[(i % rows) * groups + floor(i / rows)]) ?? 0;
      const zeroWords =
        order === 'interleaved'
          ? words(order, bits, rows, groups, zeroAt)
          : words(order, bits, groups, rows, (g, r) => zeroAt(r, g));
      const linear: StoredLinear = {
        codes: {
          ...place(words(order, bits, rows, columns, (r, c) => plain.codes[r * columns + c] ?? 0)),
          order,
          bits,
        },
        scales: {
          ...place(new Uint8Array(Float32Array.from({ length: rows * groups }, (_, i) => scaleAt(i)).buffer)),
          ...({ type: 'F32', byRow } as const),
        },
        ...(asymmetric && { zeroPoints: { ...place(zeroWords), order, addedToFields: less } }),
      };
      using expected = packMatrix(description, plain);
      const { matrix, largestError } = importLinear(description, linear);
      expect(matrix.bytes()).toEqual(expected.bytes());
      expect(largestError).toBe(0);
      const later = await importLinearAsync(description, linear);
      expect(later.matrix.bytes()).toEqual(expected.bytes());

      // The same as float16, group by group named for every column.
      const groupOf = Int32Array.from({ length: columns }, (_, k) => floor(k / groupSize));
      const zeroPoints = zeros ?? new Uint8Array(rows * groups).fill(top / 2);
      const scattered = { groupOf, scales: plain.scales, zeroPoints };
      const dense = dequantizeLinear(rows, columns, linear.codes, scattered);
      const values = expected.toFloat32();
      const difference = max(...dense.matrix.toFloat32().map((value, i) => abs(value - (values[i] ?? 0))));
      expect(dense.largestError).toBe(difference);
      const denseLater = await dequantizeLinearAsync(rows, columns, linear.codes, scattered);
      expect(denseLater.matrix.bytes()).toEqual(dense.matrix.bytes());
    }),
    { numRuns: 24 },
  );
});

test('float16 scales are copied; what they round is the largest error', () => {
  const description = { format: 'int4-sym', rows: 8, columns: 32, groupSize: 32 } as const;
  const codes = { ...place(words('down', 4, 8, 32, (r, c) => (r + c) % 16)), order: 'down', bits: 4 } as const;
  const halves = {
    ...place(new Uint8Array(Uint16Array.of(1, 0x3c00, 0xbc00, 0x7bff, 2, 3, 4, 5).buffer)),
    byRow: false,
  };
  expect(importLinear(description, { codes, scales: { ...halves, type: 'F16' } })).toMatchObject({ largestError: 0 });
  const scales = Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1 + 2 ** -13);
  const floats = { ...place(new Uint8Array(scales.buffer)), byRow: false, type: 'F32' } as const;
  expect(importLinear(description, { codes, scales: floats }).largestError).toBe(8 * 2 ** -13);
  const wide = { ...place(new Uint8Array(scales.fill(1e30).buffer)), byRow: false, type: 'F32' } as const;
  expect(importLinear(description, { codes, scales: wide }).largestError).toBe(Infinity);
});

test('linears that do not fit are refused', () => {
  const description = { format: 'int4-sym', rows: 8, columns: 32, groupSize: 32 } as const;
  const codes = { ...place(new Uint8Array(128)), order: 'down', bits: 4 } as const;
  const scales = { ...place(new Uint8Array(16)), byRow: false, type: 'F16' } as const;
  expect(() => importLinear(description, { codes, scales: { ...scales, offset: 4 } })).toThrow(InvalidArgumentError);
  expect(() => importLinear(description, { codes: { ...codes, offset: 4 }, scales })).toThrow(InvalidArgumentError);
  expect(() => importLinear(description, { codes: { ...codes, bits: 5 }, scales })).toThrow(InvalidArgumentError);
  expect(() => importLinear({ ...description, format: 'int4-asym' }, { codes, scales })).toThrow(InvalidArgumentError);
  expect(() => importLinear({ ...description, format: 'int4-min' }, { codes, scales })).toThrow(InvalidArgumentError);
  const scattered = { groupOf: new Int32Array(32).fill(1), scales: new Float32Array(8), zeroPoints: new Uint8Array(8) };
  expect(() => dequantizeLinear(8, 32, codes, scattered)).toThrow('groupOf');
});

test.each(['f16', 'bf16', 'f32'] as const)('a %s matrix is turned around, wherever it lies', async (format) => {
  const [rows, columns] = [45, 70];
  const size = format === 'f32' ? 4 : 2;
  const random = randomGenerator(9);
  const stored = Uint8Array.from({ length: rows * columns * size }, () => random() * 256);
  const expected = new Uint8Array(stored.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const from = (column * rows + row) * size;
      expected.set(stored.subarray(from, from + size), (row * columns + column) * size);
    }
  const { storage, offset } = place(stored);
  using turned = importTransposed(format, storage, offset, rows, columns);
  expect(turned).toMatchObject({ format, rows, columns });
  expect(turned.bytes()).toEqual(expected);
  using later = await importTransposedAsync(format, storage, offset, rows, columns);
  expect(later.bytes()).toEqual(expected);
  const piece = new Uint8Array(10);
  later.readInto(piece, 100);
  expect(piece).toEqual(expected.subarray(100, 110));
  for (const at of [expected.length - 9, -1, NaN]) {
    expect(() => {
      later.readInto(piece, at);
    }).toThrow(InvalidArgumentError);
  }
  expect(() => importTransposed(format, storage, offset, rows + 1, columns)).toThrow(InvalidArgumentError);
});
