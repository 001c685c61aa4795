import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answerRequests, encodeContinuation, rollingWindows } from './loglikelihood.ts';
import { toyScorer } from './toy-scorer.ts';

const scorer = toyScorer();

test("spaces at the context's end belong to the continuation", () => {
  expect(encodeContinuation(scorer, 'ab ', 'c')).toEqual({ context: [1, 2], continuation: [27, 3] });
});

test('without a context the prefix token stands in, and is not scored twice', () => {
  expect(encodeContinuation(scorer, '', 'ab')).toEqual({ context: [0], continuation: [1, 2] });
  const adding = { ...scorer, encode: (text: string) => [0, ...scorer.encode(text)] };
  expect(encodeContinuation(adding, '', 'ab')).toEqual({ context: [0], continuation: [1, 2] });
});

test('too long an input loses its left end; the last token needs no place', () => {
  const short = toyScorer({ contextLength: 4 });
  expect(encodeContinuation(short, 'abcd', 'ef')).toEqual({ context: [2, 3, 4], continuation: [5, 6] });
  expect(encodeContinuation(short, 'abc', 'ef')).toEqual({ context: [1, 2, 3], continuation: [5, 6] });
});

test('rolling windows score each token once, in order, and fit the model', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12 }), (count, length) => {
      const tokens = Array.from({ length: count }, (_, i) => i + 1);
      const windows = rollingWindows(tokens, 0, length);
      expect(windows.flatMap((window) => window.continuation)).toEqual(tokens);
      for (const { context, continuation } of windows) {
        // Tokens are their own positions: the context ends right before what is scored.
        expect(context.at(-1)).toBe((continuation[0] ?? 0) - 1);
        expect(context.length + continuation.length).toBeLessThanOrEqual(length + 1);
      }
    }),
  );
  // Full windows keep one token of context, the last short one reaches back.
  expect(rollingWindows([1, 2, 3, 4, 5, 6, 7], 0, 3)).toEqual([
    { context: [0], continuation: [1, 2, 3] },
    { context: [3], continuation: [4, 5, 6] },
    { context: [4, 5, 6], continuation: [7] },
  ]);
});

test('choices of one question are one call, and keep their places', async () => {
  const counting = toyScorer();
  const ask = (context: string, continuation: string) => ({ kind: 'continuation', context, continuation }) as const;
  const answers = await answerRequests(counting, [ask('ab', ' x'), ask('cd', ' y'), ask('ab', ' yz')]);
  expect(counting.calls).toEqual([
    [1, 2],
    [3, 4],
  ]);
  const alone = await answerRequests(counting, [ask('ab', ' yz')]);
  expect(answers[2]).toEqual(alone[0]);
  expect(answers[0]?.logProbability).not.toBe(answers[2]?.logProbability);
});
