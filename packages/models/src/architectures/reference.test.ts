/** Whole models against logits and greedy tokens computed elsewhere. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { columnCount, evaluate, row, type Tensor } from '@llm/tensor';

import { likeliest, relativeError } from '../../../../tools/test/compare.mjs';
import { readConfig, readWeights } from '../../../../tools/test/plain-safetensors.mjs';
import { demoModel, sharedData } from '../../../../tools/test/shared-data.mjs';
import { architectureOf } from './registry.ts';

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

// Computed with transformers 5.23 in float32, as the model's README tells.
describe('the model that ships', () => {
  const prompt = [1, 428, 444, 261, 398];
  const continuation = [4001, 393, 282, 261, 390, 446, 524, 396, 4003, 317, 525, 268, 365, 343, 315, 706];

  test('continues a prompt as transformers does', () => {
    const tokens = [...prompt, ...continuation];
    expectGreedy(logitsOf(demoModel(), tokens), prompt.length, tokens);
  });
});

interface Reference {
  readonly prompts: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    readonly last_logits_f32_base64: string;
    readonly greedy_ids: readonly number[];
  }[];
}

describe.each(['stories-llama-5m', 'stories-neox-5m'])('%s', (name) => {
  const folder = sharedData(name);
  const { prompts } = folder
    ? (JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8')) as Reference)
    : { prompts: [] };

  (folder ? test : test.skip)('has the logits and greedy tokens of transformers', () => {
    for (const { ids, last_logits_f32_base64, greedy_ids } of prompts.slice(0, 1)) {
      const tokens = [...ids, ...greedy_ids];
      const logits = logitsOf(folder ?? '', tokens);
      const expected = new Float32Array(Uint8Array.from(Buffer.from(last_logits_f32_base64, 'base64')).buffer);
      expect(relativeError(row(logits, ids.length - 1), expected)).toBeLessThan(1e-5);
      expectGreedy(logits, ids.length, tokens);
    }
  });
});

describe('tinystories-656k, whose tied matrix is stored as lm_head.weight', () => {
  const folder = sharedData('tinystories-656k');
  const oracles = sharedData('oracles', 'numpy-f64-reference.json');

  (folder && oracles ? test : test.skip)('has the logits and greedy tokens of an independent float64 forward', () => {
    const expected = (JSON.parse(readFileSync(oracles ?? '', 'utf8')) as Record<string, Oracle>)['tinystories-656k'];
    if (!expected) throw new Error('no oracle');
    const logits = logitsOf(folder ?? '', expected.prompt_ids);
    expect(relativeError(row(logits, expected.prompt_ids.length - 1), expected.last_logits_f64)).toBeLessThan(1e-5);
    expectGreedy(logitsOf(folder ?? '', expected.greedy_ids), 6, expected.greedy_ids);
  });
});

interface Oracle {
  readonly prompt_ids: readonly number[];
  readonly last_logits_f64: readonly number[];
  readonly greedy_ids: readonly number[];
}
