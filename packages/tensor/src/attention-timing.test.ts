import { expect, test } from '@jest/globals';
import { timeAttention } from './attention-timing.ts';
import { InvalidArgumentError } from './errors.ts';

const shape = { layers: 2, heads: 4, kvHeads: 1, headDim: 32 };

test('counts what a step reads and computes, one step per repeat', () => {
  const timing = timeAttention({ ...shape, tokens: 128, cacheType: 'f16', repeats: 3, threads: 2 });
  expect(timing.seconds).toHaveLength(3);
  expect(timing.seconds.every((seconds) => seconds > 0)).toBe(true);
  expect(timing.cacheBytes).toBe(2 * 128 * (32 + 32) * 2);
  expect(timing.products).toBe(2 * 4 * 128 * (32 + 32));
  expect(timeAttention({ ...shape, tokens: 3, queries: 3, repeats: 1 }).products).toBe(2 * 4 * (1 + 2 + 3) * 64);
});

test('refuses shapes that make no sense', () => {
  expect(() => timeAttention({ ...shape, tokens: 0 })).toThrow(InvalidArgumentError);
  expect(() => timeAttention({ ...shape, kvHeads: 3, tokens: 5 })).toThrow(InvalidArgumentError);
});
