import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { Matrix } from '@llm/tensor';

import { demoModel } from '../../../tools/test/shared-data.mjs';
import { MemoryLimitError } from './errors.ts';
import { Model } from './model.ts';
import type { LoadOptions } from './options.ts';

const fixtures = join(import.meta.dirname, '../../models/fixtures');
const models = readdirSync(fixtures).map((name): [string, string] => [name, join(fixtures, name)]);

/** Bytes of the matrices that a program reads, each counted once, parts of one by themselves. */
function weightBytes(model: Model): number {
  const matrices = new Set<Matrix>();
  for (const instruction of model.program.description.instructions) {
    if (instruction.op === 'linear') for (const { weight } of instruction.parts) matrices.add(weight);
    if (instruction.op === 'embed' || instruction.op === 'positions') matrices.add(instruction.table);
  }
  return [...matrices].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function expectWithin5Percent(estimate: number, measured: number): void {
  expect(estimate / measured).toBeGreaterThan(0.95);
  expect(estimate / measured).toBeLessThan(1.05);
}

describe.each<[string, LoadOptions]>([
  ['as stored', {}],
  ['quantized while loading, 8-bit cache', { weights: 'int4', kvCache: { type: 'int8' } }],
])('%s', (_, options) => {
  test.each([...models, ['the shipped model', demoModel()]])('%s takes what was estimated', async (_, source) => {
    const all = { ...options, contextLength: 48, threads: 1 };
    const estimate = await Model.estimateMemory(source, all);
    await using model = await Model.load(source, all);
    const { cacheBytes, arenaBytes } = model.stats();
    expectWithin5Percent(estimate.weights, weightBytes(model));
    expectWithin5Percent(estimate.cache, cacheBytes);
    expectWithin5Percent(estimate.arena, arenaBytes);
    expect(estimate.total).toBe(estimate.weights + estimate.cache + estimate.arena);
  });
});

test('maxMemory is the line between loading and refusing', async () => {
  const options = { weights: 'int4', contextLength: 64 } as const;
  const { total } = await Model.estimateMemory(demoModel(), options);
  await using model = await Model.load(demoModel(), { ...options, maxMemory: Math.ceil(total) });
  expect(model.memory.total).toBe(total);
  await expect(Model.load(demoModel(), { ...options, maxMemory: Math.ceil(total) - 1 })).rejects.toThrow(
    MemoryLimitError,
  );
});
