import { describe, expect, test } from '@jest/globals';
import type { Tokenizer } from '@llm/models';

import type { Language } from './prompt.ts';
import { scoreInputs, scoreOf, scoreRequest } from './score.ts';

/** Letters are tokens, except that "ab" is one; token 0 begins a text. */
const tokenizer: Pick<Tokenizer, 'encode'> = {
  encode: (text, { addSpecialTokens = true } = {}) => {
    const ids = Array.from(text.replaceAll('ab', '#'), (letter) => letter.codePointAt(0) ?? 0);
    return addSpecialTokens ? [0, ...ids] : ids;
  },
};
const language: Language = { path: 'letters', tokenizer: tokenizer as Tokenizer, chatTemplate: undefined };

const ids = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });

describe('a text is split as lm-evaluation-harness splits it', () => {
  test('spaces at the end of the context go to the continuation', () => {
    expect(scoreRequest('x  ', 'y', language, 0)).toEqual({ context: [0, ...ids('x')], continuation: ids('  y') });
  });

  test('where a token lies across the border, the cut is by number', () => {
    expect(scoreRequest('xa', 'bc', language, 0)).toEqual({ context: [0, ...ids('xa')], continuation: ids('c') });
  });

  test('the begin of a text stands for an empty context', () => {
    expect(scoreRequest('', 'xy', language, 9)).toEqual({ context: [9], continuation: ids('xy') });
    // A continuation that begins with it is not scored for it.
    expect(scoreRequest([], [9, 5], language, 9)).toEqual({ context: [9], continuation: [5] });
  });
});

test('what does not fit is cut off on the left', () => {
  const request = { context: [1, 2, 3, 4], continuation: [5, 6] };
  expect(scoreInputs(request, 3)).toEqual({ ids: Int32Array.of(3, 4, 5), outputs: [1, 2], scored: [5, 6] });
  expect(scoreInputs(request, 100).ids).toEqual(Int32Array.of(1, 2, 3, 4, 5));
  expect(() => scoreInputs({ context: [1], continuation: [] }, 3)).toThrow('no tokens');
});

test('log-probabilities are those of softmax, whatever the size of the logits', () => {
  const score = scoreOf(Float32Array.of(1000, 1000, 1000, 0, Math.log(2), -Infinity), [1, 1]);
  expect(score.logProbabilities[0]).toBeCloseTo(-Math.log(3), 12);
  expect(score.logProbabilities[1]).toBeCloseTo(Math.log(2 / 3), 7);
  expect(score.greedy).toBe(false);
  expect(scoreOf(Float32Array.of(0, 2, 1, 1, 0, 3), [1, 2]).greedy).toBe(true);
});
