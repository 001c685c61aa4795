import { expect, test } from '@jest/globals';
import { dequantizeMatrix, quantizeMatrix } from '../quantized-matrix.ts';
import { randomSource } from '../random.ts';
import { hqq } from './hqq.ts';

const random = randomSource(5);
/** Heavy tails: a few large weights among many small ones. */
const weights = Float32Array.from({ length: 20 * 128 }, () => {
  const u = random() - 0.5;
  return Math.sign(u) * -Math.log(1 - 2 * Math.abs(u));
});

test('lower in its own norm than plain rounding, in every group', () => {
  for (const bits of [2, 3, 4]) {
    const grid = { bits, groupSize: 64, scheme: 'min' } as const;
    const distance = (restored: Float32Array, group: number): number => {
      let sum = 0;
      for (let i = group * 64; i < (group + 1) * 64; i++)
        sum += Math.abs((weights[i] ?? 0) - (restored[i] ?? 0)) ** 0.7;
      return sum;
    };
    const plain = dequantizeMatrix(quantizeMatrix(weights, 20, 128, grid));
    const moved = dequantizeMatrix(hqq(weights, 20, 128, grid));
    let better = 0;
    for (let group = 0; group < 40; group++) {
      expect(distance(moved, group)).toBeLessThanOrEqual(distance(plain, group) + 1e-4);
      if (distance(moved, group) < 0.99 * distance(plain, group)) better++;
    }
    expect(better).toBeGreaterThan(10);
  }
});

test('zeros, constants and exact grids stay what they are', () => {
  const grid = { bits: 4, groupSize: -1, scheme: 'min' } as const;
  for (const row of [
    new Float32Array(40),
    new Float32Array(40).fill(0.5),
    Float32Array.from({ length: 32 }, (_, i) => (i % 16) / 8 - 1),
  ])
    expect(dequantizeMatrix(hqq(row, 1, row.length, grid))).toEqual(row);
});

test('other schemes and norms are refused', () => {
  expect(() => hqq(weights, 20, 128, { bits: 4, groupSize: 64, scheme: 'sym' })).toThrow('HQQ moves the minimum');
  expect(() => hqq(weights, 20, 128, { bits: 4, groupSize: 64, scheme: 'min' }, { norm: 2 })).toThrow('norm=2');
});
