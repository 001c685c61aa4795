import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openCheckpoint } from '@llm/models';
import { findTargets } from '../targets.ts';
import { writeTinyModel } from '../testing/tiny-model.ts';
import { measureActivations } from './activations.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'activations-'));
});
afterEach(() => rm(folder, { recursive: true }));

const tokens = Array.from({ length: 256 }, (_, i) => (i * 7) % 90);

async function measure(outlier: number | undefined) {
  const model = join(folder, `model-${outlier ?? 'plain'}`);
  await writeTinyModel(model, 'llama', {}, ({ name, shape, values }) => {
    if (name.endsWith('norm.weight')) values.fill(1);
    if (outlier === undefined) return;
    const columns = shape[1] ?? 1;
    if (name === 'model.layers.1.post_attention_layernorm.weight') values[5] = outlier;
    // The channel means nothing: only its size is in the way.
    if (/layers\.1\.mlp\.(gate|up)/.test(name)) for (let i = 5; i < values.length; i += columns) values[i] = 0;
  });
  using checkpoint = await openCheckpoint(model);
  const { graph } = checkpoint.architecture.build(checkpoint.config);
  const layers = findTargets(graph)
    .filter(({ kind }) => kind !== 'embedding')
    .map(({ weight, kind }) => {
      return { weight, bits: kind === 'head' ? 8 : 4, groupSize: 32, relativeError: 0.1, bytesAfter: 1000 };
    });
  return await measureActivations(model, { layers, calibration: { documents: [tokens] } });
}

test('every input once, with the linears that read it; outliers stand out', async () => {
  const [plain, changed] = [await measure(undefined), await measure(5000)];
  const names = plain.map(({ weights }) => weights.map(({ weight }) => weight.replace(/^model\./, '')).join(' '));
  const block = (i: number): string[] => [
    ['q', 'k', 'v'].map((name) => `layers.${i}.self_attn.${name}_proj.weight`).join(' '),
    `layers.${i}.self_attn.o_proj.weight`,
    ['gate', 'up'].map((name) => `layers.${i}.mlp.${name}_proj.weight`).join(' '),
    `layers.${i}.mlp.down_proj.weight`,
  ];
  expect(names).toEqual([...block(0), ...block(1), 'lm_head.weight']);
  for (const [i, { errors, weights }] of changed.entries()) {
    expect(errors.f32).toBe(0);
    // 8 bits of a span have steps of a 127th of its largest value, which is some times the root of the mean square.
    expect(plain[i]!.errors.int8).toBeGreaterThan(1e-6);
    expect(plain[i]!.errors.int8).toBeLessThan(1e-3);
    if (names[i]!.includes('layers.1.mlp.gate')) expect(errors.int8).toBeGreaterThan(0.1);
    else expect(errors.int8).toBeLessThan(0.05);
    for (const { now, raised } of weights)
      for (const time of [...Object.values(now), ...Object.values(raised)]) expect(time).toBeGreaterThan(0);
  }
});

test('an aborted signal ends it', async () => {
  const model = join(folder, 'model');
  await writeTinyModel(model);
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(measureActivations(model, { layers: [], calibration: { documents: [tokens] }, signal })).rejects.toThrow(
    'enough',
  );
});

test('a model without a tokenizer is measured all the same', async () => {
  const model = join(folder, 'model');
  await writeTinyModel(model);
  const weight = 'model.layers.0.mlp.down_proj.weight';
  const layers = [{ weight, bits: 4, groupSize: -1, relativeError: 0.1, bytesAfter: 1000 }];
  const measured = await measureActivations(model, { layers });
  expect(measured.map(({ weights }) => weights.map((one) => one.weight))).toEqual([[weight]]);
  expect(measured[0]?.errors.int8).toBeGreaterThan(0);
  expect(measured[0]?.errors.int8).toBeLessThan(0.01);
});
