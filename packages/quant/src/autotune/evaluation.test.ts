import { expect, test } from '@jest/globals';
import { judge, relativeLoss } from './evaluation.ts';

const documents = (right: number, of: number): number[] => Array.from({ length: of }, (_, i) => Number(i < right));

test('without documents the scores decide, in the direction of the measure', () => {
  expect(judge({ score: 0.5 }, { score: 0.496 }, 0.01)).toBe('pass');
  expect(judge({ score: 0.5 }, { score: 0.494 }, 0.01)).toBe('fail');
  const perplexity = { score: 10, higherIsBetter: false };
  expect(judge(perplexity, { score: 10.05 }, 0.01)).toBe('pass');
  expect(judge(perplexity, { score: 10.2 }, 0.01)).toBe('fail');
  expect(judge(perplexity, { score: 9 }, 0.01)).toBe('pass');
  expect(judge({ score: 0.5 }, { score: Number.NaN }, 0.01)).toBe('fail');
});

test('few documents leave a small loss open and show a great one', () => {
  const baseline = { score: 0.5, documents: documents(500, 1000) };
  const part = (right: number, of: number) => ({ score: right / of, documents: documents(right, of), complete: false });
  // Of the first 100 documents the baseline has all right.
  expect(judge(baseline, part(98, 100), 0.01)).toBe('undecided');
  expect(judge(baseline, part(70, 100), 0.01)).toBe('fail');
  expect(judge(baseline, part(100, 100), 0.05)).toBe('pass');
});

test('with every document the difference itself decides', () => {
  const baseline = { score: 0.5, documents: documents(500, 1000) };
  expect(judge(baseline, { score: 0.496, documents: documents(496, 1000) }, 0.01)).toBe('pass');
  expect(judge(baseline, { score: 0.494, documents: documents(494, 1000) }, 0.01)).toBe('fail');
});

test('the relative loss is positive for the worse', () => {
  expect(relativeLoss({ score: 0.5 }, { score: 0.45 })).toBeCloseTo(0.1, 12);
  expect(relativeLoss({ score: 10, higherIsBetter: false }, { score: 11 })).toBeCloseTo(0.1, 12);
});
