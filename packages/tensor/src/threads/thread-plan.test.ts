import { expect, test } from '@jest/globals';
import { InvalidOptionError } from '../errors.ts';
import { planThreads } from './thread-plan.ts';

const machine = { allowed: 16, cores: 8, fastCores: 6, quota: undefined };

test('a thread per fast core', () => {
  expect(planThreads(undefined, machine)).toEqual({
    threads: 6,
    spin: true,
    reasons: [
      'This process may use 16 logical processors.',
      'They belong to 8 physical cores.',
      '6 cores of them are of the fastest kind.',
    ],
  });
});

test('a quota is rounded up, but leaves no room for waiting actively', () => {
  expect(planThreads(undefined, { ...machine, quota: 2.5 })).toMatchObject({ threads: 3, spin: false });
  expect(planThreads(undefined, { ...machine, quota: 4 })).toMatchObject({ threads: 4, spin: true });
  expect(planThreads(undefined, { ...machine, quota: 0.2 })).toMatchObject({ threads: 1, spin: false });
  expect(planThreads(undefined, { ...machine, quota: 1.23456 }).reasons).toContain(
    'Its control group allows 1.23 CPUs of time.',
  );
});

test('LLM_THREADS overrides', () => {
  const plan = planThreads('12', machine);
  expect(plan).toMatchObject({ threads: 12, spin: false });
  expect(plan.reasons.at(-1)).toBe('LLM_THREADS asks for 12.');
  for (const wrong of ['0', '-1', '1.5', 'all', '4096', '1e2'])
    expect(() => planThreads(wrong, machine)).toThrow(InvalidOptionError);
});

test('other systems say how many processors there are', () => {
  expect(planThreads(undefined, undefined, 1).reasons[0]).toMatch(/^This process may use \d+ logical processors?\.$/);
});
