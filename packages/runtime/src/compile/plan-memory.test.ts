import { expect, test } from '@jest/globals';
import { architectureOf } from '@llm/models';

import { planProgram, type ProgramPlan } from './compile.ts';
import type { Operation } from './operation.ts';
import type { Weights } from './weights.ts';

const config = {
  model_type: 'llama',
  vocab_size: 1000,
  hidden_size: 64,
  intermediate_size: 176,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  max_position_embeddings: 64,
};

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

function planOf(extra: object): ProgramPlan {
  const pass = architectureOf({ ...config, ...extra }).build({ ...config, ...extra });
  return planProgram(pass, shapeless, { compute: 'int8', cache: { type: 'f16', blockTokens: 64, blocks: 1 } });
}

const models = [
  ['llama', {}],
  ['gpt-neox', { model_type: 'gpt_neox' }],
] as const;

test.each(models)('%s: layers share their memory, whatever their number', (_, extra) => {
  const [four, eight] = [planOf(extra), planOf({ ...extra, num_hidden_layers: 8 })];
  expect(eight.memory.tokenFloats).toBe(four.memory.tokenFloats);
  expect(eight.memory.outputFloats).toBe(four.memory.outputFloats);
  expect(eight.memory.sumFloats).toBeGreaterThan(1.5 * four.memory.sumFloats);
  // The residual stream, q, k, v and what attention makes of them; or the stream and the inner layer.
  expect(four.memory.tokenFloats).toBeLessThanOrEqual(64 * 5 + 192);
  // Logits, the final states, and what they are made of.
  expect(four.memory.outputFloats).toBeLessThanOrEqual(1024 + 64 * 2);
});

test.each(models)('%s: instructions of one stage do not disturb each other', (_, extra) => {
  const { stages, memory } = planOf(extra);
  const places = (nodes: Operation['reads']): { begin: number; end: number }[] =>
    nodes.map((node) => {
      const { offset, width } = memory.buffers[memory.bufferOf.get(node) ?? -1] ?? { offset: NaN, width: NaN };
      return { begin: offset, end: offset + width };
    });
  let pairs = 0;
  for (const stage of stages)
    for (const writer of stage)
      for (const other of stage) {
        if (other === writer) continue;
        pairs++;
        for (const written of places(writer.writes))
          for (const place of [...places(other.reads), ...places(other.writes)])
            expect(written.end <= place.begin || place.end <= written.begin).toBe(true);
      }
  expect(pairs).toBe(extra === models[1][1] ? 8 : 0);
});

test('a residual stream stays in one place', () => {
  const { stages, memory } = planOf({});
  const offsets = stages
    .flat()
    .filter(({ mayReplace = [] }) => mayReplace.length > 0)
    .flatMap(({ writes }) => writes.map((node) => memory.buffers[memory.bufferOf.get(node) ?? -1]?.offset));
  expect(offsets).toHaveLength(8);
  expect(new Set(offsets).size).toBe(1);
});
