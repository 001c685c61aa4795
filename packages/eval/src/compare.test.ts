import { expect, test } from '@jest/globals';
import { aggregate } from './aggregate.ts';
import { compareResults, parseResult, type StoredResult } from './compare.ts';
import { BaselineError } from './errors.ts';
import { formatComparison, formatCsv } from './format-results.ts';
import type { Perplexity } from './perplexity.ts';
import { taskNamed } from './tasks/registry.ts';
import type { DocumentScores } from './tasks/task.ts';

function result(name: string, scores: readonly DocumentScores[], perplexity?: Perplexity): StoredResult {
  const tasks = [aggregate(taskNamed(name), scores)];
  return { tasks, documents: { [name]: scores }, ...(perplexity ? { perplexity } : {}) };
}

const lambada = (...right: number[]): StoredResult =>
  result(
    'lambada_openai',
    right.map((acc) => ({ acc, log_probability: -1 })),
  );

const text = (value: number): Perplexity => ({
  ...{ convention: 'gptq', window: 16, windows: 2, scoredTokens: 30 },
  ...{ negativeLogLikelihood: Math.log(value), value, standardError: 0.1 },
});

test('accuracy: what is left, with the error of the differences document for document', () => {
  const [same] = compareResults(lambada(1, 1, 0, 1), lambada(1, 1, 0, 1));
  // Each score alone has an error of 0.25; the same documents right twice leave none.
  expect(same).toMatchObject({ metric: 'acc', kept: 1, standardError: 0 });
  const [worse] = compareResults(lambada(1, 1, 0, 1), lambada(1, 0, 0, 1));
  expect(worse).toMatchObject({ baseline: 0.75, candidate: 0.5 });
  expect(worse?.kept).toBeCloseTo(2 / 3, 12);
  expect(worse?.standardError).toBeCloseTo(0.25 / 0.75, 12);
});

test('a baseline that is never right has nothing to lose', () => {
  for (const right of [0, 1]) {
    const [comparison] = compareResults(lambada(0, 0), lambada(0, right));
    expect(comparison).toMatchObject({ baseline: 0, candidate: right / 2, kept: 1, standardError: undefined });
    expect(formatComparison([comparison!])).toContain('100.00 %');
  }
});

test('perplexity, where lower is better: the baseline over the candidate', () => {
  const pages = (...sums: number[]) =>
    result(
      'wikitext',
      sums.map((log_probability) => ({ log_probability, words: 10, bytes: 50 })),
    );
  const [comparison] = compareResults(pages(-20, -40), pages(-22, -42));
  expect(comparison?.kept).toBeCloseTo(Math.exp(-4 / 20), 12);
  expect(comparison?.kept).toBeCloseTo(comparison!.baseline / comparison!.candidate, 12);
  // Both pages lose the same: nothing is uncertain.
  expect(comparison?.standardError).toBeCloseTo(0, 12);
  const none = { tasks: [], documents: {} };
  expect(compareResults({ ...none, perplexity: text(8) }, { ...none, perplexity: text(10) })[0]?.kept).toBe(0.8);
});

test('what cannot be compared is refused, and says why', () => {
  expect(() => compareResults(lambada(1, 1), lambada(1))).toThrow('2 documents of lambada_openai, this run 1');
  expect(() => compareResults(result('piqa', [{ acc: 1, acc_norm: 1 }]), lambada(1))).toThrow('only piqa');
  const none = { tasks: [], documents: {} };
  expect(() => compareResults(none, { ...none, perplexity: text(8) })).toThrow('no perplexity');
  const other = { ...text(8), convention: 'llama.cpp' as const };
  expect(() => compareResults({ ...none, perplexity: other }, { ...none, perplexity: text(8) })).toThrow(
    'convention llama.cpp, this one gptq',
  );
});

test('a stored result is read back; anything else is refused', () => {
  const stored = lambada(1, 0);
  expect(parseResult(JSON.stringify(stored), 'b.json')).toEqual(stored);
  for (const broken of [
    ...['', '[]', '3', 'null', '{"tasks":[]}', '{"tasks":[{"task":"x"}],"documents":{}}'],
    '{"tasks":[null],"documents":{}}',
    '{"tasks":[],"documents":null}',
    '{"tasks":[{"task":"x","metrics":null}],"documents":{"x":[]}}',
    '{"tasks":[{"task":"x","metrics":{}}],"documents":{"x":[null]}}',
  ])
    expect(() => parseResult(broken, 'b.json')).toThrow(BaselineError);
});

test('as a table, and a perplexity as comma-separated values', () => {
  const table = formatComparison(compareResults(lambada(1, 1, 0, 1), lambada(1, 0, 0, 1)));
  expect(table).toContain('66.67 %  ± 33.33 %');
  expect(formatCsv([], text(8)).split('\n')[1]).toBe('text,perplexity gptq,8,0.1,false,2');
});
