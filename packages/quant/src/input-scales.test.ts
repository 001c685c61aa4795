import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { convert, openCheckpoint } from '@llm/models';
import { quantize } from './quantize.ts';
import { meanSquare, plainLogits } from './testing/logits.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

jest.setTimeout(300_000);

let folder: string;
let model: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'input-scales-'));
  model = join(folder, 'neox');
  // Rows of the first linear behind the norm of different sizes, so that GELU gives channels of different sizes.
  await writeTinyModel(model, 'neox', { intermediate_size: 96 }, ({ name, values, shape }) => {
    const columns = shape[1] ?? 1;
    if (name.endsWith('dense_h_to_4h.weight'))
      values.forEach((value, i) => (values[i] = value * (Math.floor(i / columns) % 7 === 3 ? 6 : 0.4)));
  });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const documents = Array.from({ length: 12 }, (_, s) => Array.from({ length: 32 }, (_, i) => (s * 31 + i * i * 7) % 90));
const heldOut = [Int32Array.from({ length: 32 }, (_, i) => (i * 13 + 5) % 90)];
const base = { head: false, embedding: false, groupSize: 32, method: 'awq', inputScales: true } as const;
const calibration = { documents, samples: 12, length: 32 };
const linears = [0, 1].map((layer) => `gpt_neox.layers.${layer}.mlp.dense_4h_to_h`);

test('scales behind GELU are searched, written, and read, and change nothing by themselves', async () => {
  const output = join(folder, 'eight');
  await quantize(model, { ...base, bits: 8, calibration, output });
  using checkpoint = await openCheckpoint(output);
  expect(checkpoint.config['quantization_config']).toMatchObject({ input_scales: linears });
  for (const linear of linears) {
    const factors = checkpoint.vector(`${linear}.input_scale`);
    expect(factors).toHaveLength(96);
    expect(Math.max(...factors) / Math.min(...factors)).toBeGreaterThan(1.5);
  }
  const [before, after] = [await plainLogits(model, heldOut), await plainLogits(output, heldOut)];
  const zero = before.map((values) => new Float32Array(values.length));
  expect(meanSquare(before, after)).toBeLessThan(1e-3 * meanSquare(before, zero));
});

test('they lower the error of the layers behind GELU, and those layers alone have them', async () => {
  const errors = async (inputScales: boolean): Promise<number[]> => {
    const output = join(folder, `three-${inputScales}`);
    const { layers } = await quantize(model, { ...base, bits: 3, inputScales, calibration, output });
    using checkpoint = await openCheckpoint(output);
    const vectors = [...checkpoint.tensors.keys()].filter((name) => name.endsWith('.input_scale'));
    expect(vectors).toHaveLength(inputScales ? 2 : 0);
    return linears.map((linear) => layers.find(({ weight }) => weight === `${linear}.weight`)?.outputError ?? NaN);
  };
  const [plain, scaled] = [await errors(false), await errors(true)];
  scaled.forEach((error, i) => {
    expect(error).toBeLessThan(0.95 * (plain[i] ?? NaN));
  });
});

test('whoever quantizes the result again keeps them', async () => {
  const output = join(folder, 'once');
  await quantize(model, { ...base, bits: 4, calibration, output });
  const again = join(folder, 'again');
  await quantize(output, { method: 'rtn', bits: 8, groupSize: 32, head: false, embedding: false, output: again });
  using first = await openCheckpoint(output);
  using second = await openCheckpoint(again);
  expect(second.config['quantization_config']).toMatchObject({ method: 'rtn', input_scales: linears });
  for (const linear of linears)
    expect(second.vector(`${linear}.input_scale`)).toEqual(first.vector(`${linear}.input_scale`));
});

test('TEQ trains them too', async () => {
  const output = join(folder, 'teq');
  const teq = { iterations: 4, learningRate: 0.1 };
  await quantize(model, { ...base, method: 'teq', bits: 2, teq, calibration, output });
  using checkpoint = await openCheckpoint(output);
  const factors = linears.flatMap((linear) => [...checkpoint.vector(`${linear}.input_scale`)]);
  expect(factors.every((factor) => factor > 0)).toBe(true);
  expect(new Set(factors).size).toBeGreaterThan(10);
});

test('formats with a place for them get them, safetensors has them in its weights, the others say no', async () => {
  const output = join(folder, 'exported');
  await quantize(model, { ...base, bits: 4, scheme: 'asym', calibration, output });
  const expected = await plainLogits(output, heldOut);
  const zero = expected.map((values) => new Float32Array(values.length));
  for (const [to, type] of [
    ['packed', undefined],
    ['awq', undefined],
    ['safetensors', 'F32'],
  ] as const) {
    const other = join(folder, to);
    await convert(output, other, { to, ...(type && { type }) });
    const found = await plainLogits(other, heldOut);
    expect(meanSquare(expected, found)).toBeLessThan(1e-9 * meanSquare(expected, zero));
    using checkpoint = await openCheckpoint(other);
    const scaled = [...checkpoint.tensors.keys()].filter((name) => name.endsWith('.input_scale'));
    expect(scaled).toHaveLength(to === 'safetensors' ? 0 : 2);
  }
  const names = [...readSafetensorsHeader(join(folder, 'awq', 'model.safetensors'))];
  expect(names).toContain('gpt_neox.layers.1.mlp.act.scales');
  expect(names.filter((name) => name.includes('input_scale'))).toEqual([]);
  for (const to of ['gptq', 'gguf', 'compressed-tensors'] as const)
    await expect(convert(output, join(folder, 'none'), { to })).rejects.toThrow(
      `${to} has no place for gpt_neox.layers.0.mlp.dense_4h_to_h.input_scale`,
    );
});

/** The names of the tensors of a file, whatever reads it. */
function readSafetensorsHeader(path: string): string[] {
  const bytes = readFileSync(path);
  const header = bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString();
  return Object.keys(JSON.parse(header) as object);
}
