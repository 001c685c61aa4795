import { expect, test } from '@jest/globals';
import { spread } from './statistics.ts';

test('the median of an odd and an even number of values', () => {
  expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
  expect(spread([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 });
  expect(() => spread([])).toThrow(RangeError);
});
