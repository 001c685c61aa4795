import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { BytePairs, bytePairsOf } from './byte-pairs.ts';

const merges: [string, string][] = [
  ['b', 'c'],
  ['a', 'a'],
  ['a', 'bc'],
  ['aa', 'aa'],
  ['bc', 'bc'],
  ['c', 'a'],
];
const vocabulary = new Map(['a', 'b', 'c', 'bc', 'aa', 'abc', 'aaaa', 'bcbc', 'ca'].map((text, id) => [text, id]));

/** The definition: as long as there is a pair on the list, merge the leftmost of those that come first. */
function slowly(word: string): string[] {
  let tokens = Array.from(word);
  for (;;) {
    let best = merges.length;
    let at = -1;
    for (let i = 0; i + 1 < tokens.length; i++) {
      const rank = merges.findIndex(([left, right]) => left === tokens[i] && right === tokens[i + 1]);
      if (rank >= 0 && rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return tokens;
    tokens = [...tokens.slice(0, at), `${tokens[at] ?? ''}${tokens[at + 1] ?? ''}`, ...tokens.slice(at + 2)];
  }
}

test('merges as the definition says', () => {
  const pairs = new BytePairs(vocabulary, merges);
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'b', 'c', 'x', '🙂'), { maxLength: 40 }), (characters) => {
      const word = characters.join('');
      expect(pairs.split(word)).toEqual(slowly(word));
    }),
    { numRuns: 1000 },
  );
});

test('a word of a million characters', () => {
  const pairs = new BytePairs(vocabulary, merges);
  expect(pairs.split('abc'.repeat(333_333))).toHaveLength(333_333);
});

test('only for models without marks at the ends of words', () => {
  const model = { type: 'BPE', vocab: {}, merges: ['a b'] };
  expect(
    bytePairsOf(
      model,
      new Map([
        ['a', 0],
        ['b', 1],
        ['ab', 2],
      ]),
    )?.split('ab'),
  ).toEqual(['ab']);
  expect(bytePairsOf({ ...model, end_of_word_suffix: '</w>' }, vocabulary)).toBeUndefined();
  expect(bytePairsOf({ type: 'Unigram' }, vocabulary)).toBeUndefined();
});
