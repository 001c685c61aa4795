import { afterAll, describe, expect, jest, test } from '@jest/globals';
import { readFileSync } from 'node:fs';

import { demoModel, sharedData } from '../../../tools/test/shared-data.mjs';
import { logProbability } from './log-softmax.ts';
import { Model } from './model.ts';
import type { LoadOptions } from './options.ts';

// What other implementations computed in float32 or float64 from the same weights.

jest.setTimeout(60_000);

const exact: LoadOptions = { compute: 'f32', kvCache: { type: 'f32' }, threads: 1 };

const loaded = new Map<string, Promise<Model>>();

function modelAt(path: string): Promise<Model> {
  const model = loaded.get(path) ?? Model.load(path, exact);
  loaded.set(path, model);
  return model;
}

afterAll(async () => {
  for (const model of loaded.values()) await (await model).dispose();
});

function json(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function expectLogits(actual: Float32Array, expected: ArrayLike<number>): void {
  const largest = Math.max(...Array.from(expected, Math.abs));
  const difference = Math.max(...actual.map((logit, i) => Math.abs(logit - (expected[i] ?? NaN))));
  expect(difference / largest).toBeLessThan(1e-4);
}

async function greedyTokens(model: Model, ids: readonly number[], maxTokens: number): Promise<readonly number[]> {
  return model.generate(ids, { maxTokens, stopTokens: [] }).tokens;
}

async function logProbabilities(model: Model, ids: readonly number[]): Promise<number[]> {
  const logits = await model.logits(ids, { positions: 'all' });
  const row = (i: number): Float32Array => logits.subarray(i * model.vocabularySize, (i + 1) * model.vocabularySize);
  return ids.slice(1).map((id, i) => logProbability(row(i), id));
}

/** Mean negative log-probability of all but the first token of each window. */
async function meanLoss(model: Model, windows: readonly (readonly number[])[]): Promise<number> {
  const all = [];
  for (const window of windows) all.push(...(await logProbabilities(model, window)));
  return -all.reduce((sum, value) => sum + value, 0) / all.length;
}

interface StoriesReference {
  readonly prompts: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    readonly last_logits_f32_base64: string;
    readonly logprobs: readonly number[];
    readonly greedy_ids: readonly number[];
    readonly greedy_text: string;
    readonly greedy_min_margin: number;
  }[];
  readonly perplexity: { readonly first_ids: readonly number[]; readonly window_mean_nll: readonly number[] };
}

function float32(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

test('the shipped model says what transformers says', async () => {
  const model = await modelAt(demoModel());
  const prompt = 'Tom and his dog went to the park.\nThey saw';
  const ids = [1, 518, 267, 345, 649, 468, 268, 265, 592, 4003, 13, 670, 417];
  expect(model.tokenizer.encode(prompt)).toEqual(ids);
  const logits = await model.logits(ids);
  const top = { 261: 14.4049, 539: 10.8011, 801: 9.4161, 408: 9.1096, 265: 8.9031 };
  for (const [token, logit] of Object.entries(top))
    expect(Math.abs((logits[Number(token)] ?? NaN) - logit)).toBeLessThan(1.5e-3);
  expect(await greedyTokens(model, ids, 10)).toEqual([261, 406, 681, 343, 801, 1352, 4003, 329, 442, 268]);
  const expected = [-4.329826, -0.827723, -3.706569, -2.37813, -5.76001, -0.129992];
  (await logProbabilities(model, ids)).slice(0, 6).forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] ?? NaN, 3);
  });
});

describe.each([
  ['stories-llama-5m', 1],
  ['stories-neox-5m', 0],
])('%s against transformers', (name, first) => {
  const folder = sharedData(name);
  const reference = folder === undefined ? undefined : (json(`${folder}/reference.json`) as StoriesReference);
  const run = folder === undefined || reference === undefined ? test.skip : test;

  run('logits, log-probabilities and 64 greedy tokens of every prompt', async () => {
    const model = await modelAt(folder ?? '');
    const prompts = reference?.prompts ?? [];
    for (const prompt of prompts) {
      expectLogits(await model.logits(prompt.ids), float32(prompt.last_logits_f32_base64));
      (await logProbabilities(model, prompt.ids)).forEach((value, i) => {
        expect(value).toBeCloseTo(prompt.logprobs[i] ?? NaN, 3);
      });
    }
    // Side by side, in the same steps.
    const answers = await Promise.all(prompts.map(({ ids }) => greedyTokens(model, ids, 64)));
    expect(answers).toEqual(prompts.map(({ greedy_ids }) => greedy_ids));
  });

  run('loss of the first validation windows', async () => {
    const model = await modelAt(folder ?? '');
    const text = sharedData('calibration', 'tinystories-valid-794k.txt') ?? '';
    const tail = readFileSync(text)
      .subarray(-200_000)
      .toString('utf8')
      .replace(/[ \t]*\n\s*/g, '\n');
    const ids = model.tokenizer.encode(tail.slice(0, 4000), { addSpecialTokens: false });
    expect(ids.slice(0, 32)).toEqual(reference?.perplexity.first_ids);
    for (let window = 0; window < 2; window++) {
      const loss = await meanLoss(model, [[first, ...ids.slice(window * 255, (window + 1) * 255)]]);
      expect(loss).toBeCloseTo(reference?.perplexity.window_mean_nll[window] ?? NaN, 3);
    }
  });
});

const tinyStories = sharedData('tinystories-656k');
const oracle = sharedData('oracles', 'numpy-f64-reference.json');

(tinyStories && oracle ? test : test.skip)('tinystories-656k against float64 arithmetic', async () => {
  const model = await modelAt(tinyStories ?? '');
  const { ['tinystories-656k']: reference } = json(oracle ?? '') as {
    'tinystories-656k': {
      prompt: string;
      prompt_ids: number[];
      last_logits_f64: number[];
      prompt_logprobs: number[];
      greedy_prompt: string;
      greedy_ids: number[];
    };
  };
  expectLogits(await model.logits(reference.prompt_ids), reference.last_logits_f64);
  (await logProbabilities(model, reference.prompt_ids)).forEach((value, i) => {
    expect(value).toBeCloseTo(reference.prompt_logprobs[i] ?? NaN, 3);
  });
  const prompt = model.tokenizer.encode(reference.greedy_prompt);
  const start = reference.greedy_ids.slice(0, prompt.length);
  expect(await greedyTokens(model, start, reference.greedy_ids.length - start.length)).toEqual(
    reference.greedy_ids.slice(start.length),
  );
});

const smol = sharedData('smollm2-135m-instruct');

interface SmolReference {
  readonly prompts: readonly {
    readonly name: string;
    readonly ids: readonly number[];
    readonly next_logprob: readonly number[];
    readonly greedy_ids: readonly number[];
    readonly last_logits_row: number;
  }[];
}

(smol ? describe : describe.skip)('SmolLM2 from GGUF against transformers', () => {
  const file = `${smol ?? ''}/SmolLM2-135M-Instruct.Q4_1.gguf`;

  test('logits, log-probabilities and greedy tokens', async () => {
    const model = await modelAt(file);
    const { prompts } = json(`${smol ?? ''}/reference-fp32.json`) as SmolReference;
    const bytes = readFileSync(`${smol ?? ''}/reference-fp32.last-logits.f32`);
    const rows = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    for (const { ids, next_logprob, last_logits_row } of prompts) {
      const row = rows.subarray(last_logits_row * model.vocabularySize, (last_logits_row + 1) * model.vocabularySize);
      expectLogits(await model.logits(ids), row);
      (await logProbabilities(model, ids)).forEach((value, i) => {
        expect(value).toBeCloseTo(next_logprob[i] ?? NaN, 3);
      });
    }
    // Side by side, in the same steps.
    const answers = await Promise.all(prompts.map(({ ids }) => greedyTokens(model, ids, 48)));
    expect(answers).toEqual(prompts.map(({ greedy_ids }) => greedy_ids));
  });

  test('log-probabilities of wikitext', async () => {
    const model = await modelAt(file);
    const { ids, token_nll } = json(`${smol ?? ''}/perplexity.json`) as { ids: number[]; token_nll: number[][] };
    const window = await logProbabilities(model, ids.slice(0, 100));
    window.forEach((value, i) => {
      expect(value).toBeCloseTo(-(token_nll[0]?.[i] ?? NaN), 3);
    });
  });
});
