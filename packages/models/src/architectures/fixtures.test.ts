/**
 * Every architecture against transformers: tiny random checkpoints with all options on somewhere, made by
 * tools/fixtures/make-architectures.py.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { columnCount, evaluate, row, type Tensor } from '@llm/tensor';

import { likeliest, relativeError } from '../../../../tools/test/compare.mjs';
import { readConfig, readWeights } from '../../../../tools/test/plain-safetensors.mjs';
import { architectureOf, architectures } from './registry.ts';

const folder = join(import.meta.dirname, '../../fixtures');
const names = readdirSync(folder);

interface Expected {
  readonly prompts: readonly {
    readonly ids: readonly number[];
    /** Of the last position of `ids`. */
    readonly logits: readonly number[];
    readonly greedy: readonly number[];
  }[];
}

/** Logits [tokens, vocabulary] of a model folder. */
function logitsOf(folder: string, tokens: readonly number[]): Tensor {
  const config = readConfig(folder);
  const architecture = architectureOf(config);
  const { graph, logits } = architecture.build(config);
  const found = evaluate(graph, tokens, readWeights(folder, architecture)).get(logits);
  if (!found) throw new Error('no logits');
  return found;
}

/** Every token after the prompt is the likeliest one. */
function expectGreedy(logits: Tensor, prompt: number, tokens: readonly number[]): void {
  expect(likeliest(logits.data, columnCount(logits)).slice(prompt - 1, -1)).toEqual(tokens.slice(prompt));
}

describe('every architecture has the logits and greedy tokens of transformers', () => {
  test.each(names)('%s', (name) => {
    const model = join(folder, name);
    const { prompts } = JSON.parse(readFileSync(join(model, 'expected.json'), 'utf8')) as Expected;
    for (const { ids, logits, greedy } of prompts) {
      // The whole sequence for the continuation; the prompt alone for the logits, because LongRoPE looks at the length.
      expect(relativeError(row(logitsOf(model, ids), ids.length - 1), logits)).toBeLessThan(1e-5);
      const tokens = [...ids, ...greedy];
      expectGreedy(logitsOf(model, tokens), ids.length, tokens);
    }
    expect(prompts.length).toBeGreaterThan(0);
  });

  test('none is left out', () => {
    const tried = new Set(names.map((name) => architectureOf(readConfig(join(folder, name)))));
    expect(
      architectures.filter((architecture) => !tried.has(architecture)).map((architecture) => architecture.name),
    ).toEqual([]);
  });
});
