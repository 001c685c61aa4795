import { architectureOf, type HfConfig } from '@llm/models';
import { afterEach, describe, expect, test } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { planProgram } from './compile/compile.ts';
import type { Weights } from './compile/weights.ts';
import { Model } from './model.ts';

// Small checkpoints of every architecture with what transformers computes from them in float32.
const fixtures = join(import.meta.dirname, '../../models/fixtures');

interface Expected {
  readonly prompts: readonly {
    readonly ids: readonly number[];
    readonly logits: readonly number[];
    readonly greedy: readonly number[];
  }[];
}

let model: Model | undefined;

afterEach(async () => {
  await model?.dispose();
  model = undefined;
});

describe('the native program of every architecture says what transformers says', () => {
  test.each(readdirSync(fixtures))('%s', async (name) => {
    const folder = join(fixtures, name);
    const { prompts } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;
    expect(prompts.length).toBeGreaterThan(0);
    for (const { ids, logits, greedy } of prompts) {
      // LongRoPE has other factors where the context is longer than the original one.
      const contextLength = ids.length + greedy.length;
      await model?.dispose();
      model = await Model.load(folder, { compute: 'f32', kvCache: { type: 'f32' }, contextLength });
      const largest = Math.max(...logits.map(Math.abs));
      const actual = await model.logits(ids);
      logits.forEach((logit, i) => {
        expect(Math.abs((actual[i] ?? NaN) - logit) / largest).toBeLessThan(1e-4);
      });
      const answer = model.generate(ids, { maxTokens: greedy.length, stopTokens: [] });
      expect(await answer.tokens).toEqual(greedy);
    }
  });
});

/** Planning reads no weight. */
const shapeless: Weights = {
  format: () => ({ format: 'f32', rows: 1, columns: 1, groupSize: undefined }),
  matrix: () => {
    throw new Error('a weight was read');
  },
  vector: () => {
    throw new Error('a weight was read');
  },
};

// Threads wait for each other once per stage. Branches that do not depend on each other share stages.
const parallelBranches = new Set([
  ...['falcon-11b', 'falcon-40b', 'falcon-7b', 'gpt-neox', 'gptj', 'stablelm-parallel'],
]);

test.each(readdirSync(fixtures))('a block of %s waits no more often than it has to', (name) => {
  const config = JSON.parse(readFileSync(join(fixtures, name, 'config.json'), 'utf8')) as HfConfig;
  const pass = architectureOf(config).build(config);
  const cache = { type: 'f16', blockTokens: 64, blocks: 1 } as const;
  const { stages } = planProgram(pass, shapeless, { compute: 'int8', cache });
  // The sum at the end of a block may be made by the first linear of the next.
  const ofBlock = stages.filter((stage) => stage.some(({ writes: [first] }) => first?.block === 0));
  expect(ofBlock.length).toBe(parallelBranches.has(name) ? 4 : 5);
});

test.each(readdirSync(fixtures))(
  'threads meet at most five times for each layer of %s while it decodes',
  async (name) => {
    model = await Model.load(join(fixtures, name), { threads: 2, contextLength: 16 });
    await model.generate([1], { maxTokens: 3, stopTokens: [] }).text;
    const { cache } = model.program.description;
    // Around the taking of outputs, before the norm, the head and the sampling. Gemma adds the last block's result after a norm,
    // Gemma 2 caps its logits, OPT-350M projects what it embeds and back.
    const around: Readonly<Record<string, number>> = { gemma2: 8, gemma3: 7, 'opt-350m': 9 };
    const { barriers } = model.stats();
    expect(barriers).toBeLessThanOrEqual((parallelBranches.has(name) ? 4 : 5) * cache.layers + (around[name] ?? 6));
    expect(barriers).toBeGreaterThan(cache.layers);
  },
);
