import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DisposedError, Matrix, packMatrix } from '@llm/tensor';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { demoModel, sharedData } from '../../../tools/test/shared-data.mjs';
import { convert } from './convert/convert.ts';
import { InvalidConfigError, InvalidWeightError, ModelNotFoundError, UnsupportedArchitectureError } from './errors.ts';
import { PACKED_METADATA } from './formats/packed/weights.ts';
import { writeSafetensors, type SafetensorsEntry } from './formats/safetensors/write.ts';
import { openCheckpoint } from './open-checkpoint.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'llm-open-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const config = JSON.parse(readFileSync(join(demoModel(), 'config.json'), 'utf8')) as Record<string, unknown>;

function write(name: string, value: unknown): void {
  writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
}

function f32(name: string, shape: readonly number[], values: readonly number[]): SafetensorsEntry {
  return { name, dtype: 'F32', shape, data: () => new Uint8Array(Float32Array.from(values).buffer) };
}

test('the model that ships with the command line', async () => {
  using checkpoint = await openCheckpoint(demoModel());
  expect(checkpoint.architecture.name).toBe('llama');
  expect(checkpoint.format).toBe('safetensors');
  expect(checkpoint.eosTokenIds).toEqual([2]);
  expect(checkpoint.generationConfig).toEqual({ temperature: 0.8, topP: 0.95 });
  const matrix = checkpoint.matrix('lm_head.weight');
  expect([matrix.format, matrix.rows, matrix.columns]).toEqual(['bf16', 4096, 256]);
  expect(checkpoint.matrix('model.embed_tokens.weight')).toBe(matrix);
  expect(matrix.toFloat32(0, 2)).toEqual(checkpoint.read('lm_head.weight').subarray(0, 512));
  expect(checkpoint.chatTemplate()).toBeUndefined();
  expect(checkpoint.conversions.size).toBe(0);
  expect(() => checkpoint.vector('lm_head.weight')).toThrow('no vector');
  expect(() => checkpoint.matrix('model.norm.weight')).toThrow('no matrix');
});

test('after disposal nothing is to be had', async () => {
  const checkpoint = await openCheckpoint(demoModel());
  const matrix = checkpoint.matrix('lm_head.weight');
  checkpoint[Symbol.dispose]();
  expect(() => checkpoint.read('lm_head.weight')).toThrow(DisposedError);
  expect(() => matrix.toFloat32()).toThrow(DisposedError);
});

const tinystories = sharedData('tinystories-656k');
(tinystories ? test : test.skip)('a checkpoint that has its embedding under the name of the head alone', async () => {
  using checkpoint = await openCheckpoint(tinystories as string);
  expect(checkpoint.has('model.embed_tokens.weight')).toBe(true);
  expect(checkpoint.matrix('model.embed_tokens.weight').rows).toBe(2048);
  checkpoint.checkFinite();
});

test('shards, as the index names them', async () => {
  write('config.json', config);
  await writeSafetensors(join(folder, 'one.safetensors'), [f32('model.norm.weight', [2], [1, 2])]);
  await writeSafetensors(join(folder, 'two.safetensors'), [f32('other', [1], [3]), f32('model.norm.weight', [1], [9])]);
  write('model.safetensors.index.json', {
    weight_map: { 'model.norm.weight': 'one.safetensors', other: 'two.safetensors' },
  });
  using checkpoint = await openCheckpoint(folder);
  expect([...checkpoint.vector('model.norm.weight')]).toEqual([1, 2]);
  expect([...checkpoint.tensors.keys()].sort()).toEqual(['model.norm.weight', 'other']);
  checkpoint[Symbol.dispose]();

  write('model.safetensors.index.json', { weight_map: { lost: 'one.safetensors' } });
  await expect(openCheckpoint(folder)).rejects.toThrow('holds lost, which is not there');
  write('model.safetensors.index.json', { weight_map: { a: 'three.safetensors' } });
  await expect(openCheckpoint(folder)).rejects.toThrow('three.safetensors is missing');
  write('model.safetensors.index.json', { weight_map: { a: '../one.safetensors' } });
  await expect(openCheckpoint(folder)).rejects.toThrow('no file of this folder');
  write('model.safetensors.index.json', { weight_map: 3 });
  await expect(openCheckpoint(folder)).rejects.toThrow('weight_map');
});

async function writePacked(description: Record<string, unknown>, bytes: Uint8Array): Promise<void> {
  write('config.json', { ...config, quantization_config: { quant_method: 'llm-packed', version: 1 } });
  const packed: SafetensorsEntry = { name: 'a.weight', dtype: 'U8', shape: [bytes.length], data: () => bytes };
  await writeSafetensors(join(folder, 'model.safetensors'), [f32('model.norm.weight', [2], [1, 2]), packed], {
    metadata: { [PACKED_METADATA]: JSON.stringify({ 'a.weight': description }) },
  });
}

test('packed weights are used where they lie', async () => {
  const shape = { format: 'int4-sym', rows: 3, columns: 64, groupSize: 32 } as const;
  const codes = Uint8Array.from({ length: 3 * 64 }, (_, i) => i % 16);
  using made = packMatrix(shape, { codes, scales: Float32Array.from([1, 2, 3, 4, 5, 6]) });
  await writePacked(shape, made.bytes());
  using checkpoint = await openCheckpoint(folder);
  expect(checkpoint.format).toBe('packed');
  expect(checkpoint.tensors.get('a.weight')).toMatchObject({ dtype: 'int4-sym', shape: [3, 64] });
  const matrix = checkpoint.matrix('a.weight');
  expect(matrix).toBeInstanceOf(Matrix);
  expect(matrix.bytes()).toEqual(made.bytes());
  expect(checkpoint.read('a.weight')).toEqual(made.toFloat32());
  expect(checkpoint.read('a.weight')[64]).toBe(3 * (0 - 8));
  expect([...checkpoint.vector('model.norm.weight')]).toEqual([1, 2]);
});

test.each([
  [{ format: 'int5', rows: 3, columns: 64 }, 'int5'],
  [{ format: 'int4-sym', rows: 3.5, columns: 64 }, 'whole numbers'],
  [{ format: 'int4-sym', rows: 33, columns: 64, groupSize: 32 }, 'described'],
])('packed weights that are not what their description says: %j', async (description, reason) => {
  await writePacked(description, new Uint8Array(1152));
  await expect(openCheckpoint(folder)).rejects.toThrow(InvalidWeightError);
  await expect(openCheckpoint(folder)).rejects.toThrow(reason);
});

test('what is missing or unknown is named', async () => {
  await expect(openCheckpoint(join(folder, 'none'))).rejects.toThrow(ModelNotFoundError);
  await expect(openCheckpoint(folder)).rejects.toThrow('no config.json');
  write('config.json', '{');
  await expect(openCheckpoint(folder)).rejects.toThrow('not JSON');
  write('config.json', '[]');
  await expect(openCheckpoint(folder)).rejects.toThrow('JSON object');
  write('config.json', { model_type: 'perceptron' });
  await expect(openCheckpoint(folder)).rejects.toThrow(UnsupportedArchitectureError);
  write('config.json', { ...config, hidden_size: 'large' });
  await expect(openCheckpoint(folder)).rejects.toThrow(InvalidConfigError);
  await expect(openCheckpoint(folder)).rejects.toThrow('hidden_size');
  write('config.json', config);
  await expect(openCheckpoint(folder)).rejects.toThrow('no .safetensors');
  cpSync(join(demoModel(), 'model.safetensors'), join(folder, 'model.safetensors'));
  write('generation_config.json', { temperature: 'warm' });
  await expect(openCheckpoint(folder)).rejects.toThrow('temperature');
  write('generation_config.json', { eos_token_id: [2, 'end'] });
  await expect(openCheckpoint(folder)).rejects.toThrow('eos_token_id');
  write('generation_config.json', { eos_token_id: [2, 7] });
  using checkpoint = await openCheckpoint(folder);
  expect(checkpoint.eosTokenIds).toEqual([2, 7]);
  await expect(checkpoint.tokenizer()).rejects.toThrow('no tokenizer.json');
  write('config.json', { ...config, quantization_config: { quant_method: 'magic' } });
  await expect(openCheckpoint(folder)).rejects.toThrow('"magic"');
  await expect(openCheckpoint(folder, { downlod: true } as never)).rejects.toThrow('download');
});

test('the chat template of a folder, wherever it is', async () => {
  write('config.json', config);
  cpSync(join(demoModel(), 'model.safetensors'), join(folder, 'model.safetensors'));
  const render = async (): Promise<string | undefined> => {
    using checkpoint = await openCheckpoint(folder);
    return checkpoint.chatTemplate()?.render([]);
  };
  write('tokenizer_config.json', { bos_token: { content: '<s>' }, chat_template: '1{{ bos_token }}' });
  expect(await render()).toBe('1<s>');
  write('chat_template.json', { chat_template: '2' });
  expect(await render()).toBe('2');
  write('chat_template.jinja', '3');
  expect(await render()).toBe('3');
});

test('a folder with one GGUF file is that file, and with several a question', async () => {
  write('a.gguf', 'GGUF');
  await expect(openCheckpoint(folder)).rejects.toThrow('a.gguf');
  write('b.gguf', 'GGUF');
  await expect(openCheckpoint(folder)).rejects.toThrow('several .gguf files');
  mkdirSync(join(folder, 'config.json'));
  await expect(openCheckpoint(folder)).rejects.toThrow('not a file');
});

describe('the arithmetic that a packed folder asks for', () => {
  const shape = { format: 'int4-sym', rows: 3, columns: 64, groupSize: 32 } as const;

  async function writeAsking(compute: unknown): Promise<void> {
    using made = packMatrix(shape, { codes: new Uint8Array(192), scales: new Float32Array(6).fill(1) });
    await writePacked(shape, made.bytes());
    write('config.json', { ...config, quantization_config: { quant_method: 'llm-packed', version: 1, compute } });
  }

  test('is known by weight, and kept by a conversion', async () => {
    await writeAsking({ 'a.weight': 'f32' });
    using checkpoint = await openCheckpoint(folder);
    expect(checkpoint.compute('a.weight')).toBe('f32');
    expect(checkpoint.compute('model.norm.weight')).toBeUndefined();
    const copy = join(folder, 'copy');
    await convert(folder, copy, { to: 'packed' });
    using converted = await openCheckpoint(copy);
    expect(converted.compute('a.weight')).toBe('f32');
  });

  test.each([
    [{ 'a.weight': 'f64' }, '"f64" is not one of int8, bf16, f32'],
    [{ 'b.weight': 'f32' }, 'quantization_config.compute.b.weight: the folder has no such weight'],
    [['a.weight'], 'it must be an object from names of weights'],
  ])('%j is refused', async (compute, message) => {
    await writeAsking(compute);
    await expect(openCheckpoint(folder)).rejects.toThrow(message);
  });
});
