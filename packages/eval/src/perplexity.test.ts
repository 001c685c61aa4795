import { expect, test } from '@jest/globals';
import { divergence } from './divergence.ts';
import { perplexity } from './perplexity.ts';
import { meanOf, pairedDifference, ratioOf } from './statistics.ts';
import { toyScorer } from './toy-scorer.ts';

const text = 'the cat sat on the mat and the dog ran to the tree';

async function negativeLogs(tokens: readonly number[]): Promise<number[]> {
  const [scores] = await toyScorer().score(tokens.slice(0, 1), [tokens.slice(1)]);
  return Array.from(scores?.logProbabilities ?? [], (value) => -value);
}
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

test('each convention scores the tokens that it should', async () => {
  const tokens = toyScorer().encode(text); // 50
  const all = await negativeLogs(tokens);
  // A token's score depends on the one before it only, so the parts can be picked out of one pass.
  const scored = (positions: number[]) => Math.exp(mean(positions.map((p) => all[p - 1] ?? Number.NaN)));
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

  const gptq = await perplexity(toyScorer(), text, { convention: 'gptq', window: 20 });
  expect(gptq).toMatchObject({ windows: 2, scoredTokens: 38 });
  expect(gptq.value).toBeCloseTo(scored([...range(1, 20), ...range(21, 40)]), 10);

  const llama = await perplexity(toyScorer(), text, { convention: 'llama.cpp', window: 20 });
  expect(llama).toMatchObject({ windows: 2, scoredTokens: 20 });
  expect(llama.value).toBeCloseTo(scored([...range(10, 20), ...range(30, 40)]), 10);

  const whole = await perplexity(toyScorer(), text, { convention: 'all', window: 20 });
  expect(whole).toMatchObject({ windows: 3, scoredTokens: 47 });
  expect(whole.value).toBeCloseTo(scored([...range(1, 20), ...range(21, 40), ...range(41, 50)]), 10);
});

test('a model does not diverge from itself, and does from another by the definition', async () => {
  const same = await divergence(toyScorer(), toyScorer(), text);
  expect(same.meanKl.value).toBeLessThan(1e-6);
  expect(same.topOneAgreement.value).toBe(1);
  expect(same.perplexityRatio.value).toBeCloseTo(1, 6);

  const [a, b] = [toyScorer(), toyScorer({ shift: 0.3 })];
  const result = await divergence(a, b, text, { window: 16 });
  const tokens = a.encode(text);
  const softmax = (row: Float32Array) => {
    const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
    return Array.from(row, (value) => Math.exp(value) / total);
  };
  const kls: number[] = [];
  for (let i = 0; i + 1 < tokens.length; i++) {
    if (i % 16 === 15) continue; // the last of a window predicts nothing there
    const token = tokens[i] ?? 0;
    const [p, q] = [softmax(await a.logits([token])), softmax(await b.logits([token]))];
    kls.push(p.reduce((sum, value, j) => sum + value * Math.log(value / (q[j] ?? 0)), 0));
  }
  expect(result.positions).toBe(kls.length);
  expect(result.meanKl.value).toBeCloseTo(mean(kls), 5);
  expect(result.klPercentiles['100']).toBeCloseTo(Math.max(...kls), 5);
});

test('standard errors', () => {
  expect(meanOf([1, 0, 1, 1])).toEqual({ value: 0.75, standardError: 0.25 });
  expect(meanOf([2])).toEqual({ value: 2, standardError: undefined });
  // Equal weights: a ratio is a mean.
  expect(ratioOf([1, 0, 1, 1], [1, 1, 1, 1]).standardError).toBeCloseTo(0.25, 12);
  expect(pairedDifference([1, 1, 0, 0], [1, 0, 0, 1])).toMatchObject({ difference: 0, lost: 1, won: 1 });
  expect(() => pairedDifference([1], [1, 2])).toThrow(RangeError);
});
