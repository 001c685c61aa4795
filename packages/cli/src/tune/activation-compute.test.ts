import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openCheckpoint, writeSafetensors, type SafetensorsEntry } from '@llm/models';
import { quantize, type TuneReport } from '@llm/quant';
import { Model, type LoadOptions } from '@llm/runtime';
import { demoModel } from '../../../../tools/test/shared-data.mjs';
import { run } from '../run.ts';

/** Channels of the hidden states, one in each span of 128 that activations are quantized in. */
const channels = [40, 200];

/**
 * Writes the model that ships with the command line with outliers in its activations: in front of gate and up the norm makes some
 * channels huge, and their weights are 0. So they mean nothing in float32, rounding the weights to a symmetric grid does not touch
 * them, and yet they take the whole range of 8-bit activations.
 */
async function writeOutlierModel(path: string): Promise<void> {
  await mkdir(path);
  using model = await openCheckpoint(demoModel());
  for (const [name, bytes] of model.companionFiles()) await writeFile(join(path, name), bytes);
  await writeFile(join(path, 'config.json'), JSON.stringify(model.config));
  const entries = [...model.tensors.values()].map(({ name, shape }): SafetensorsEntry => {
    const values = model.read(name).slice();
    const columns = shape.at(-1) ?? 1;
    if (name.endsWith('post_attention_layernorm.weight')) for (const channel of channels) values[channel] = 3000;
    if (/mlp\.(gate|up)_proj/.test(name))
      for (const channel of channels) for (let i = channel; i < values.length; i += columns) values[i] = 0;
    return { name, dtype: 'F32', shape, data: () => new Uint8Array(values.buffer, 0, values.byteLength) };
  });
  await writeSafetensors(join(path, 'model.safetensors'), entries);
}

let folder: string;
let source: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outliers-'));
  source = join(folder, 'source');
  await writeOutlierModel(source);
});
afterAll(() => rm(folder, { recursive: true }));

async function greedy(path: string, options: LoadOptions = {}): Promise<readonly number[]> {
  await using model = await Model.load(path, { threads: 1, ...options });
  return await model.generate('Once upon a time', { maxTokens: 48 }).tokens;
}

async function llm(...args: string[]): Promise<{ code: number; out: string }> {
  let out = '';
  const code = await run(args, {
    interactive: false,
    write: (text) => {
      out += text;
    },
    stream: () => undefined,
    note: () => undefined,
  });
  return { code, out };
}

test('outliers flip greedy tokens under int8 activations, and do not under a recipe that keeps their layers in float32', async () => {
  const [plain, mended] = [join(folder, 'plain'), join(folder, 'mended')];
  await quantize(source, { method: 'rtn', bits: 8, output: plain });
  // The up projection reads the same input: it goes along.
  const layers = [{ match: '*.mlp.gate_proj', compute: 'f32' }] as const;
  await quantize(source, { method: 'rtn', bits: 8, layers, output: mended });

  const exact = await greedy(source, { compute: 'f32' });
  const flipped = await greedy(plain);
  const kept = await greedy(mended);
  expect(flipped).not.toEqual(exact);
  expect(kept).toEqual(exact);
  // What is asked for the whole model goes before what the recipe says.
  expect(await greedy(mended, { compute: 'int8' })).toEqual(flipped);
  expect(await greedy(plain, { compute: 'f32' })).toEqual(exact);

  const { out } = await llm('inspect', mended, '--tensors');
  expect(out).toMatch(/^arithmetic f32 +linears of 5 weights$/m);
  expect(out).toMatch(/^model\.layers\.0\.mlp\.gate_proj\.weight +int8 .* f32$/m);
}, 60_000);

test('tuning finds the outliers by itself, and mends them', async () => {
  const text = join(folder, 'text.txt');
  const story =
    'Once upon a time, there was a little girl named Lily. She loved to play outside in the park with her friends. ';
  await writeFile(text, story.repeat(6));
  const output = join(folder, 'tuned');
  const space = ['--methods', 'rtn', '--schemes', 'sym', '--group-sizes', '32', '--tolerance', '10%'];
  const { code, out } = await llm('tune', source, '-o', output, '--perplexity', text, ...space, '-t', '1', '--json');
  const { result } = JSON.parse(out) as TuneReport;
  expect(code).toBe(0);
  expect(result.trials[0]).toMatchObject({ verdict: 'fail' });
  const exact = result.best.layers.flatMap(({ weight, compute }) => (compute === 'f32' ? [weight] : []));
  expect(exact).toHaveLength(5 * 2);
  expect(exact.every((weight) => /mlp\.(gate|up)_proj/.test(weight))).toBe(true);
}, 120_000);
