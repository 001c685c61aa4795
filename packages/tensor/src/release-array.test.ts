import { expect, test } from '@jest/globals';
import { releaseArrays } from './release-array.ts';

test('the memory is gone at once, without a garbage collection, and arrays may be given twice', () => {
  const before = process.memoryUsage().arrayBuffers;
  const arrays = Array.from({ length: 4 }, () => new Float32Array(2 ** 22).fill(1));
  expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(2 ** 25);
  releaseArrays(...arrays, arrays[0], undefined);
  for (const array of arrays) expect(array).toHaveLength(0);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
});
