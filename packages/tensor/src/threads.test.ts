import { afterAll, expect, test } from '@jest/globals';
import { InvalidOptionError } from './errors.ts';
import { setThreadCount, threadCount, threadPlan } from './threads.ts';

afterAll(() => {
  setThreadCount(threadPlan().threads);
});

test('the plan is followed when the kernels are loaded', () => {
  expect(threadCount()).toBe(threadPlan().threads);
});

test('the number can be changed', () => {
  setThreadCount(3);
  expect(threadCount()).toBe(3);
  for (const wrong of [0, -1, 1.5, Number.NaN, 1e9])
    expect(() => {
      setThreadCount(wrong);
    }).toThrow(InvalidOptionError);
  expect(threadCount()).toBe(3);
});
