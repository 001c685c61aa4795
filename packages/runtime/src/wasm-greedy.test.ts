import { afterEach, expect, jest, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { demoModel } from '../../../tools/test/shared-data.mjs';

const wasm = join(import.meta.dirname, '../../tensor/prebuilds/wasm/tensor.wasm');
const [major = 0] = process.versions.node.split('.').map(Number);

/** The greedy tokens of a fresh copy of these packages, which finds the kernels that the environment names. */
async function tokens(backend: string, isa: string, compute: 'int8' | 'f32'): Promise<readonly number[]> {
  jest.resetModules();
  Object.assign(process.env, { LLM_BACKEND: backend, LLM_ISA: isa });
  const { cpuInfo } = await import('@llm/tensor');
  const { Model } = await import('./model.ts');
  expect(cpuInfo()).toMatchObject({ backend, ...(isa === '' ? {} : { isa }) });
  await using model = await Model.load(demoModel(), { weights: 'int4', compute });
  return await model.generate('Once upon a time', { maxTokens: 48 }).tokens;
}

afterEach(() => {
  Reflect.deleteProperty(process.env, 'LLM_BACKEND');
  Reflect.deleteProperty(process.env, 'LLM_ISA');
});

const tables = ['wasm_simd128', ...(major >= 22 ? ['wasm_relaxed'] : []), 'scalar'];

(existsSync(wasm) ? test : test.skip).each(
  tables.flatMap((isa) => (['int8', 'f32'] as const).map((compute) => [isa, compute] as const)),
)('%s tells the story of native code, token for token, in %s', async (isa, compute) => {
  const expected = await tokens('native', '', compute);
  expect(expected).toHaveLength(48);
  expect(await tokens('wasm', isa, compute)).toEqual(expected);
});
