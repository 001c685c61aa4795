import { afterEach, expect, jest, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { demoModel } from '../../../tools/test/shared-data.mjs';

const wasm = join(import.meta.dirname, '../../tensor/prebuilds/wasm/tensor.wasm');
const [major = 0] = process.versions.node.split('.').map(Number);

/** The greedy tokens of a fresh copy of these packages, which finds the kernels that the environment names. */
async function tokens(
  backend: string,
  isa: string,
  compute: 'int8' | 'f32',
  threads?: number,
): Promise<readonly number[]> {
  jest.resetModules();
  Object.assign(process.env, { LLM_BACKEND: backend, LLM_ISA: isa, LLM_THREADS: threads ?? '' });
  const { cpuInfo, runningThreads } = await import('@llm/tensor');
  const { Model } = await import('./model.ts');
  expect(cpuInfo()).toMatchObject({ backend, ...(isa === '' ? {} : { isa }) });
  while (threads !== undefined && runningThreads() < threads) await setTimeout(5);
  await using model = await Model.load(demoModel(), { weights: 'int4', compute });
  return await model.generate('Once upon a time', { maxTokens: 48 }).tokens;
}

afterEach(() => {
  Reflect.deleteProperty(process.env, 'LLM_BACKEND');
  Reflect.deleteProperty(process.env, 'LLM_ISA');
  Reflect.deleteProperty(process.env, 'LLM_THREADS');
});

const tables = ['wasm_simd128', ...(major >= 22 ? ['wasm_relaxed'] : []), 'scalar'];

(existsSync(wasm) ? test : test.skip).each(
  tables.flatMap((isa) => (['int8', 'f32'] as const).map((compute) => [isa, compute] as const)),
)('%s tells the story of native code, token for token, in %s', async (isa, compute) => {
  const expected = await tokens('native', '', compute);
  expect(expected).toHaveLength(48);
  expect(await tokens('wasm', isa, compute)).toEqual(expected);
});

(existsSync(wasm) ? test : test.skip).each([1, 2, 3])('%i threads of WebAssembly tell it too', async (threads) => {
  const expected = await tokens('native', '', 'int8');
  expect(await tokens('wasm', '', 'int8', threads)).toEqual(expected);
});
