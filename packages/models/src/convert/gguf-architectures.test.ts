/** Every architecture as a GGUF file: the same weights and the same forward pass, or an error that says what GGUF cannot hold. */
import { afterAll, expect, test } from '@jest/globals';
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readConfig } from '../../../../tools/test/plain-safetensors.mjs';
import { firstDifference } from '../formats/gguf/compare-forward.ts';
import { openCheckpoint } from '../open-checkpoint.ts';
import { convert } from './convert.ts';

const folder = mkdtempSync(join(tmpdir(), 'llm-gguf-architectures-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const fixtures = join(import.meta.dirname, '../../fixtures');

/** A fixture with a tokenizer of as many letters as it has tokens, and other keys in its configuration. */
function modelOf(fixture: string, keys: Readonly<Record<string, unknown>> = {}): string {
  const path = mkdtempSync(join(folder, 'model-'));
  const config = { ...readConfig(join(fixtures, fixture)), ...keys };
  copyFileSync(join(fixtures, fixture, 'model.safetensors'), join(path, 'model.safetensors'));
  writeFileSync(join(path, 'config.json'), JSON.stringify(config));
  const letters = Array.from({ length: Number(config['vocab_size']) }, (_, id) => String.fromCharCode(0x4e00 + id));
  const vocab = Object.fromEntries(letters.map((letter, id) => [letter, id]));
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify({ model: { type: 'BPE', vocab, merges: [] } }));
  return path;
}

/** Options of the fixtures that GGUF has no word for. */
const refused: Readonly<Record<string, string>> = {
  'falcon-alibi': 'has no name in GGUF',
  gemma2: 'attention.scale',
  gemma3: 'attention.scale',
  mistral: 'attention.window',
  mpt: 'attention.scale',
  opt: 'no layout for opt',
  'opt-350m': 'no layout for opt',
  'phi3-longrope': 'longrope',
  qwen2: 'attention.window',
  smollm3: 'GGUF does not hold its',
};

async function expectSameModel(source: string): Promise<void> {
  const output = `${source}.gguf`;
  expect((await convert(source, output, { to: 'gguf', type: 'F32' })).lossless).toBe(true);
  using before = await openCheckpoint(source);
  using after = await openCheckpoint(output);
  const [one, other] = [before, after].map(({ architecture, config }) => architecture.build(config));
  if (!one || !other) throw new Error('no forward pass');
  expect(firstDifference(one, other)).toBeUndefined();
  for (const name of before.tensors.keys()) {
    expect(Buffer.from(after.read(name).buffer).equals(Buffer.from(before.read(name).buffer))).toBe(true);
  }
}

test.each(readdirSync(fixtures))('%s', async (name) => {
  const source = modelOf(name);
  const reason = refused[name];
  if (reason === undefined) await expectSameModel(source);
  else await expect(convert(source, `${source}.gguf`, { to: 'gguf' })).rejects.toThrow(reason);
});

test.each([
  ['mistral', { sliding_window: null }],
  ['qwen2', { use_sliding_window: false }],
  ['gpt-neox', { rope_parameters: { rope_theta: 777, partial_rotary_factor: 0.5, rope_type: 'default' } }],
  [
    'llama-linear',
    {
      rope_parameters: {
        ...{ rope_type: 'llama3', rope_theta: 500_000, factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
        original_max_position_embeddings: 32,
      },
    },
  ],
] as const)('%s with the options of today', async (name, keys) => {
  await expectSameModel(modelOf(name, keys));
});

test('another base of the rotation is another forward pass', async () => {
  const [one, other] = await Promise.all(
    [500, 501].map(async (rope_theta) => {
      using checkpoint = await openCheckpoint(modelOf('gpt-neox', { rope_parameters: { rope_theta } }));
      return checkpoint.architecture.build(checkpoint.config);
    }),
  );
  if (!one || !other) throw new Error('no forward pass');
  expect(firstDifference(one, other)).toBe('rope.theta');
  expect(firstDifference(one, one)).toBeUndefined();
});
