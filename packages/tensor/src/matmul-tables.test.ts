import { afterEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { backend } from './backend/load.ts';
import { cpuInfo } from './cpu.ts';
import { Matrix } from './matrix.ts';
import { matmul, type ComputeType } from './matmul.ts';
import { packMatrix, type PackedDescription, type PlainCodes } from './packing.ts';
import { Storage } from './storage.ts';
import { codeBits, packedCase, packedFormats, randomGenerator, zeroCode } from './testing/random-matrix.ts';

const tables = cpuInfo()
  .tables.filter((table) => table.runnable && table.isa !== 'scalar')
  .map((table) => table.isa);

const cases = fc.record({
  format: fc.constantFrom(...packedFormats),
  n: fc.integer({ min: 1, max: 70 }),
  k: fc.integer({ min: 1, max: 400 }),
  groupSize: fc.constantFrom(8, 24, 32, 64, 128, 256, undefined),
  span: fc.constantFrom(8, 32, 64, 128, 512),
  rows: fc.oneof(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 8, max: 40 })),
  weights: fc.constantFrom('random', 'lowest', 'highest', 'zero' as const),
  activations: fc.constantFrom('random', 'extreme', 'zeros', 'tiny', 'small', 'huge', 'broken' as const),
  unaligned: fc.boolean(),
  seed: fc.nat(),
});

type Case = typeof cases extends fc.Arbitrary<infer Value> ? Value : never;

function weightOf({ format, n, k, groupSize, weights, seed }: Case): Matrix {
  const description: PackedDescription = { format, rows: n, columns: k, ...(groupSize ? { groupSize } : {}) };
  const plain: PlainCodes = packedCase(description, randomGenerator(seed));
  const highest = 2 ** codeBits(format) - 1;
  if (weights === 'lowest') plain.codes.fill(0);
  if (weights === 'highest') plain.codes.fill(highest);
  if (weights === 'zero') plain.codes.fill(zeroCode(format));
  return packMatrix(description, plain);
}

function activationsOf({ k, rows, activations, unaligned, seed }: Case): Float32Array {
  const random = randomGenerator(seed + 1);
  const x = new Float32Array(new ArrayBuffer(4 * (rows * k + 16)), unaligned ? 4 : 0, rows * k);
  const scale = { random: 1, extreme: 3, zeros: 0, tiny: 1e-36, small: 4e-30, huge: 1e37, broken: 1 }[activations];
  // Extreme: every value quantizes to 127 or -127.
  for (let i = 0; i < x.length; i++)
    x[i] = scale * (activations === 'extreme' ? (random() < 0.9 ? 1 : -1) : random() * 2 - 1);
  if (activations === 'broken') {
    x[Math.floor(random() * x.length)] = NaN;
    x[Math.floor(random() * x.length)] = Infinity;
  }
  return x;
}

function product(weight: Matrix, x: Float32Array, c: Case, compute: ComputeType, isa: string): Float32Array {
  return matmul(x, weight, { rows: c.rows, compute, span: c.span, isa });
}

/** Bit for bit, but for the payload of NaNs; much quicker than toEqual. */
function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  const at = expected.findIndex((value, i) => !Object.is(value, actual[i]));
  expect([at, actual[at]]).toEqual([at, expected[at]]);
  expect(actual.length).toBe(expected.length);
}

test.each(tables)('%s gives the bits of the scalar table, whichever kernel runs', (isa) => {
  fc.assert(
    fc.property(cases, (c) => {
      using weight = weightOf(c);
      const x = activationsOf(c);
      for (const compute of ['int8', 'f32'] as const) {
        const expected = product(weight, x, c, compute, 'scalar');
        for (const kernel of ['', 'rows', 'panel', 'tiles']) {
          backend().addon.forceMatmul(kernel);
          expectSameBits(product(weight, x, c, compute, isa), expected);
        }
      }
    }),
    { numRuns: 80 },
  );
});

afterEach(() => {
  backend().addon.forceMatmul('');
});

test.each([...tables, 'scalar'])('%s: a row does not depend on the others, nor on the threads', (isa) => {
  fc.assert(
    fc.property(cases, fc.integer({ min: 1, max: 5 }), (c, threads) => {
      using weight = weightOf(c);
      const x = activationsOf(c);
      for (const compute of ['int8', 'f32'] as const) {
        const options = { compute, span: c.span, isa };
        const all = matmul(x, weight, { ...options, rows: c.rows, threads });
        for (const row of [0, c.rows >> 1, c.rows - 1]) {
          const one = matmul(x.subarray(row * c.k, (row + 1) * c.k), weight, { ...options, rows: 1, threads: 1 });
          expectSameBits(all.subarray(row * c.n, (row + 1) * c.n), one);
        }
      }
    }),
    { numRuns: 25 },
  );
});

test.each([...tables, 'scalar'])('%s: rows with NaN or infinite activations are NaN, the others are not', (isa) => {
  const c: Case = {
    ...{ format: 'int4-sym', n: 33, k: 300, groupSize: 32, span: 128, rows: 9, weights: 'random', seed: 4 },
    ...{ activations: 'random', unaligned: false },
  };
  using weight = weightOf(c);
  const x = activationsOf(c);
  x[2 * c.k + 299] = NaN;
  x[5 * c.k + 1] = -Infinity;
  const out = product(weight, x, c, 'int8', isa);
  for (let row = 0; row < c.rows; row++)
    expect(out.subarray(row * c.n, (row + 1) * c.n).every((value) => Number.isNaN(value))).toBe(row === 2 || row === 5);
});

test.each(tables)('%s: dense matrices of every type, at odd addresses', (isa) => {
  fc.assert(
    fc.property(
      cases,
      fc.constantFrom('f32', 'f16', 'bf16' as const),
      fc.integer({ min: 0, max: 7 }),
      (c, format, offset) => {
        const random = randomGenerator(c.seed);
        const bytes = c.n * c.k * (format === 'f32' ? 4 : 2);
        const storage = Storage.allocate(bytes + offset);
        const values = new Uint16Array(bytes / 2);
        // Exponents around 1: no NaN or infinity.
        for (let i = 0; i < values.length; i++)
          values[i] = (random() * 2 ** 12) | 0x3000 | (random() < 0.5 ? 0x8000 : 0);
        storage.write(offset, new Uint8Array(values.buffer));
        using weight = new Matrix({ format, rows: c.n, columns: c.k }, storage, offset);
        const x = activationsOf(c);
        expectSameBits(product(weight, x, c, 'f32', isa), product(weight, x, c, 'f32', 'scalar'));
      },
    ),
    { numRuns: 25 },
  );
});

// AMX takes tiles from 32 rows on, which round in another order.
const alike = tables.filter((isa) => isa !== 'amx');

test.each(alike)('%s: few rows of bfloat16 factors are the bits of many', (isa) => {
  fc.assert(
    fc.property(cases, (c) => {
      const random = randomGenerator(c.seed);
      using weight = Matrix.fromFloat32(
        Float32Array.from({ length: c.n * c.k }, () => random() - 0.5),
        c.n,
        c.k,
      );
      const storage = Storage.allocate(2 * c.n * c.k);
      storage.write(0, new Uint8Array(Uint16Array.from(weight.toFloat32(), bf16Of).buffer));
      using rounded = new Matrix({ format: 'bf16', rows: c.n, columns: c.k }, storage);
      const x = activationsOf(c);
      const all = matmul(x, rounded, { rows: c.rows, compute: 'bf16', isa });
      for (let begin = 0; begin < c.rows; begin += 3) {
        const count = Math.min(3, c.rows - begin);
        const few = matmul(x.subarray(begin * c.k, (begin + count) * c.k), rounded, {
          rows: count,
          compute: 'bf16',
          isa,
        });
        expectSameBits(all.subarray(begin * c.n, (begin + count) * c.n), few);
      }
    }),
    { numRuns: 20 },
  );
});

/** Cut off, not rounded: any bfloat16 number will do. */
function bf16Of(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16;
}
