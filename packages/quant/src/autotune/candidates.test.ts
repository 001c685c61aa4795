import { expect, test } from '@jest/globals';
import { candidates } from './candidates.ts';

test('the fastest to run come first, among equals the quickest to make', () => {
  const list = candidates({ groupSizes: [32, 128], schemes: ['sym'] }, ['gptq', 'rtn', 'signround', 'awq']);
  expect(list.map(({ name }) => name)).toEqual([
    ...['rtn w4 g128 sym head8', 'awq w4 g128 sym head8', 'gptq w4 g128 sym head8', 'signround w4 g128 sym head8'],
    ...['rtn w4 g32 sym head8', 'awq w4 g32 sym head8', 'gptq w4 g32 sym head8', 'signround w4 g32 sym head8'],
  ]);
  expect(list[0]?.bitsPerWeight).toBe(4.125);
});

test('free minima are tried with plain rounding, and are all that HQQ has', () => {
  const schemesOf = (methods: ['rtn'] | ['hqq'] | ['gptq'], schemes?: ('sym' | 'asym' | 'min')[]) =>
    candidates({ groupSizes: [32], ...(schemes ? { schemes } : {}) }, methods).map(({ recipe }) => recipe.scheme);
  expect(schemesOf(['rtn'])).toEqual(['sym', 'asym', 'min']);
  expect(schemesOf(['hqq'])).toEqual(['min']);
  expect(schemesOf(['gptq'])).toEqual(['sym', 'asym']);
  expect(schemesOf(['hqq'], ['sym'])).toEqual([]);
  expect(schemesOf(['gptq'], ['min'])).toEqual(['min']);
});

test('every combination once, by a name of its own', () => {
  const list = candidates({ bits: [3, 4], headBits: [4, 8] }, ['rtn', 'gptq']);
  expect(new Set(list.map(({ name }) => name)).size).toBe(list.length);
  expect(list).toHaveLength(2 * 3 * 2 * (3 + 2));
});
