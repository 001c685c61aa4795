import { expect, test } from '@jest/globals';
import { cpuInfo } from './cpu.ts';
import { InvalidOptionError, ShapeMismatchError } from './errors.ts';
import { Matrix, packedByteLength } from './matrix.ts';
import { matmul } from './matmul.ts';
import { packMatrix } from './packing.ts';
import { MatmulTimer } from './time-matmul.ts';
import { packedCase, randomGenerator } from './testing/random-matrix.ts';

const tables = cpuInfo()
  .tables.filter((table) => table.runnable)
  .map((table) => table.isa);

test.each(tables)('%s: float32 products are sums in the order of K', (isa) => {
  const random = randomGenerator(1);
  const [rows, n, k] = [7, 45, 301];
  const weights = Float32Array.from({ length: n * k }, () => random() - 0.5);
  const x = Float32Array.from({ length: rows * k }, () => random() - 0.5);
  const out = matmul(x, Matrix.fromFloat32(weights, n, k), { rows, compute: 'f32', isa });
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < n; c++) {
      let sum = 0;
      // float32 factors: their product is exact in float64, so that this rounds nearly as a fused multiply-add.
      for (let i = 0; i < k; i++) sum = Math.fround((x[r * k + i] ?? 0) * (weights[c * k + i] ?? 0) + sum);
      expect(out[r * n + c]).toBeCloseTo(sum, 6);
    }
});

test.each(tables)('%s: int8 products of exact activations are exact', (isa) => {
  const description = { format: 'int4-sym', rows: 33, columns: 256, groupSize: 64 } as const;
  const random = randomGenerator(2);
  const plain = packedCase(description, random);
  plain.scales.fill(1);
  const x = Float32Array.from({ length: 3 * 256 }, () => Math.round(random() * 254) - 127);
  for (let at = 0; at < x.length; at += 128) x[at] = 127; // so that every activation scale is 1
  const out = matmul(x, packMatrix(description, plain), { rows: 3, isa });
  for (let r = 0; r < 3; r++)
    for (let c = 0; c < 33; c++) {
      let sum = 0;
      for (let i = 0; i < 256; i++) sum += (x[r * 256 + i] ?? 0) * ((plain.codes[c * 256 + i] ?? 0) - 8);
      expect(out[r * 33 + c]).toBe(sum);
    }
});

const narrow = [
  // Each factor is rounded by at most 2^-8 of itself.
  { compute: 'bf16', bound: 2 ** -7 },
  // By 2^-11, and so is each of the 32 sums of a chain.
  { compute: 'f16', bound: 34 * 2 ** -11 },
] as const;

test.each(tables.flatMap((isa) => narrow.map((kind) => ({ isa, ...kind }))))(
  '$isa: $compute products are near those of exact factors, row by row the same',
  ({ isa, compute, bound }) => {
    const description = { format: 'int4-sym', rows: 37, columns: 301, groupSize: 32 } as const;
    const random = randomGenerator(3);
    const weight = packMatrix(description, packedCase(description, random));
    const w = weight.toFloat32();
    const x = Float32Array.from({ length: 15 * 301 }, () => random() * 2 - 1);
    const out = matmul(x, weight, { rows: 15, compute, isa });
    for (let r = 0; r < 15; r++) {
      const one = matmul(x.subarray(r * 301, (r + 1) * 301), weight, { rows: 1, compute, isa });
      expect(out.subarray(r * 37, (r + 1) * 37)).toEqual(one);
      for (let c = 0; c < 37; c++) {
        let sum = 0;
        let size = 0;
        for (let k = 0; k < 301; k++) {
          const product = (x[r * 301 + k] ?? 0) * (w[c * 301 + k] ?? 0);
          sum += product;
          size += Math.abs(product);
        }
        expect(Math.abs((one[c] ?? NaN) - sum)).toBeLessThan(size * bound);
      }
    }
  },
);

test('timing runs the product so often and counts its work', () => {
  const weight = { format: 'int4-asym', rows: 64, columns: 128, groupSize: 32 } as const;
  using timer = new MatmulTimer(weight, 2 ** 16);
  const { seconds, weightBytes, operations } = timer.time({ rows: 3, repeats: 5 });
  expect(seconds).toHaveLength(5);
  expect(seconds.every((value, i) => value > 0 && value >= (seconds[i - 1] ?? 0))).toBe(true);
  expect([weightBytes, operations]).toEqual([packedByteLength(weight), 2 * 3 * 64 * 128]);
});

test('wrong sizes, kernels and options are refused', () => {
  const matrix = Matrix.fromFloat32(new Float32Array(6), 2, 3);
  expect(() => matmul(new Float32Array(5), matrix, { rows: 2 })).toThrow(ShapeMismatchError);
  expect(() => matmul(new Float32Array(6), matrix, { rows: 2, isa: 'avx1024' })).toThrow(InvalidOptionError);
  expect(() => matmul(new Float32Array(6), matrix, { rows: 2, treads: 2 } as never)).toThrow('Did you mean threads?');
});
