import { readFileSync } from 'node:fs';
import { access, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { openCheckpoint, writeSafetensors, type TensorInfo } from '@llm/models';
import { demoModel, sharedData } from '../../../tools/test/shared-data.mjs';
import { OutputError, RecipeError, UnquantizableWeightError } from './errors.ts';
import { modelFiles } from './output/files.ts';
import { quantize, type QuantizeOptions } from './quantize.ts';
import { dequantizeMatrix, quantizeMatrix } from './quantized-matrix.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

jest.setTimeout(60_000);

let folder: string;
let output: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quantize-'));
  output = join(folder, 'out');
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Jest's own comparison of long arrays takes seconds. */
const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

test('the demo model becomes a folder that opens as a packed one, each weight as quantized alone', async () => {
  const report = await quantize(demoModel(), { method: 'rtn', output });
  using source = await openCheckpoint(demoModel());
  using packed = await openCheckpoint(output);
  expect(packed.format).toBe('packed');
  expect(report.layers).toHaveLength(5 * 7 + 1);
  for (const { weight, bits, rows, columns, format, relativeError } of report.layers) {
    expect(packed.matrix(weight).format).toBe(format);
    const grid = { bits, groupSize: 32, scheme: 'sym' } as const;
    const values = source.read(weight);
    const alone = dequantizeMatrix(quantizeMatrix(values, rows, columns, grid));
    const stored = packed
      .matrix(weight)
      .toFloat32()
      .map((w) => w + 0);
    expect(bytesOf(stored).equals(bytesOf(alone))).toBe(true);
    expect(relativeError).toBeGreaterThan(0);
    expect(relativeError).toBeLessThan(bits === 8 ? 0.01 : 0.12);
  }
  expect(report.layers.filter(({ bits }) => bits === 8).map(({ weight }) => weight)).toEqual([
    'model.embed_tokens.weight',
  ]);
  for (const name of source.tensors.keys())
    if (name.includes('norm')) expect(packed.vector(name)).toEqual(source.vector(name));
  expect(report.bytesAfter).toBeLessThan(0.36 * report.bytesBefore);
  expect((await stat(join(output, 'model.safetensors'))).size - report.bytesAfter).toBeLessThan(20000);
  expect((await packed.tokenizer()).encode('Once upon a time')).toEqual(
    (await source.tokenizer()).encode('Once upon a time'),
  );
  const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as Record<
    string,
    Record<string, unknown>
  >;
  expect(config['quantization_config']).toMatchObject({
    quant_method: 'llm-packed',
    version: 1,
    bits: 4,
    group_size: 32,
  });
});

test('the arithmetic of layers goes into config.json, by weight, and is there when the folder is opened', async () => {
  const layers = [
    { match: '*.down_proj', compute: 'f32' },
    { match: 'model.layers.1.*.down_proj', compute: 'int8' },
    { match: 'model.layers.1.self_attn.q_proj', compute: 'bf16' },
  ] as const;
  const model = join(folder, 'model');
  await writeTinyModel(model);
  const report = await quantize(model, { method: 'rtn', layers, output });
  const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as Record<string, unknown>;
  const expected = {
    'model.layers.0.mlp.down_proj.weight': 'f32',
    'model.layers.1.self_attn.q_proj.weight': 'bf16',
  };
  expect(config['quantization_config']).toMatchObject({ compute: expected });
  using packed = await openCheckpoint(output);
  for (const { weight, compute } of report.layers) {
    expect(compute).toBe((expected as Record<string, string>)[weight]);
    expect(packed.compute(weight)).toBe(compute);
  }
  // How it is multiplied by changes no weight.
  const plain = await quantize(model, { method: 'rtn', output: `${output}-plain` });
  const file = (path: string): Buffer => readFileSync(join(path, 'model.safetensors'));
  expect(file(output).equals(file(`${output}-plain`))).toBe(true);
  expect(plain.layers.every(({ compute }) => compute === undefined)).toBe(true);
  await expect(quantize(model, { method: 'rtn', compute: 'f64' as 'f32', output: `${output}-3` })).rejects.toThrow(
    'compute=f64',
  );
});

test('every scheme, shards, and a second quantization of what was packed', async () => {
  const model = join(folder, 'model');
  await writeTinyModel(model);
  for (const recipe of [
    { scheme: 'asym', groupSize: 64, bits: 3 },
    { scheme: 'min', groupSize: 128, clipSearch: { steps: 3 } },
    { scheme: 'sym', groupSize: -1, scales: 'two-level', head: false },
    { bits: 8, head: { bits: 4 }, skip: ['*.down_proj'] },
    {
      layers: [
        { match: '*.o_proj', bits: 6, scheme: 'asym' },
        { match: 'model.layers.1.*', groupSize: 32 },
      ],
      embedding: false,
    },
  ] as const) {
    const report = await quantize(model, { ...recipe, method: 'rtn', output, shardBytes: 3e4 });
    {
      using packed = await openCheckpoint(output);
      for (const { weight, rows, columns } of report.layers)
        expect(packed.matrix(weight)).toMatchObject({ rows, columns });
      packed.checkFinite();
    }
    const again = await quantize(output, { method: 'rtn', output: `${output}-again` });
    expect(again.layers.length).toBeGreaterThanOrEqual(report.layers.length);
    await rm(output, { recursive: true });
    await rm(`${output}-again`, { recursive: true });
  }
});

test('an aborted run continues where it was, with the same result', async () => {
  const options: QuantizeOptions = { method: 'rtn', clipSearch: { steps: 2 }, output };
  const controller = new AbortController();
  const reason = new Error('enough');
  const seen: number[] = [];
  const aborted = quantize(demoModel(), {
    ...options,
    signal: controller.signal,
    onProgress({ done, total }) {
      seen.push(done);
      if (done > total / 2) controller.abort(reason);
    },
  });
  await expect(aborted).rejects.toBe(reason);
  expect(await exists(output)).toBe(false);
  expect(await exists(`${output}.partial`)).toBe(true);

  let first = 0;
  const report = await quantize(demoModel(), { ...options, onProgress: ({ done }) => (first ||= done) });
  expect(report.resumed).toBeGreaterThan(10);
  expect(first).toBeGreaterThan(seen.at(-2) ?? 0);
  expect(await exists(`${output}.partial`)).toBe(false);

  const fresh = await quantize(demoModel(), { ...options, output: `${output}-fresh` });
  const bytes = (path: string): Promise<Buffer> => readFile(join(path, 'model.safetensors'));
  expect((await bytes(output)).equals(await bytes(`${output}-fresh`))).toBe(true);
  expect({ ...report, output: '', resumed: 0 }).toEqual({ ...fresh, output: '' });
});

test('an aborted signal, an existing output and an odd recipe stop before anything is written', async () => {
  const reason = new Error('no');
  await expect(quantize(demoModel(), { method: 'rtn', output, signal: AbortSignal.abort(reason) })).rejects.toBe(
    reason,
  );
  await expect(quantize(demoModel(), { method: 'rtn', output: folder })).rejects.toThrow(OutputError);
  const rejects = async (options: object, message: string): Promise<void> => {
    await expect(quantize(demoModel(), { method: 'rtn', output, ...options })).rejects.toThrow(message);
  };
  await rejects({ groupsize: 32 }, 'Did you mean groupSize?');
  await rejects({ method: 'gtpq' }, 'method=gtpq');
  await rejects({ layers: [{ match: '*.w1', bits: 8 }] }, 'no layer is called that');
  await rejects({ layers: [{ match: '*', bit: 8 }] }, 'Did you mean bits?');
  await rejects({ bits: 8, scheme: 'min' }, 'no storage');
  await expect(quantize(demoModel(), { method: 'rtn', output, skip: ['*'] })).rejects.toThrow(RecipeError);
  expect(await exists(`${output}.partial`)).toBe(false);
});

test('a NaN names its tensor and leaves no folder', async () => {
  using source = await openCheckpoint(demoModel());
  const broken = join(folder, 'broken');
  await quantize(source, { method: 'rtn', output: broken });
  const bad = 'model.layers.2.mlp.up_proj.weight';
  await writeSafetensors(
    join(broken, 'model.safetensors'),
    [...source.tensors.values()].map(({ name, shape, storage, offset, byteLength }) => ({
      name,
      dtype: 'BF16',
      shape,
      data: () => {
        const bytes = storage.read(offset, byteLength);
        if (name === bad) bytes.set([0xc0, 0x7f], 20);
        return bytes;
      },
    })),
  );
  const config = JSON.parse(await readFile(join(broken, 'config.json'), 'utf8')) as object;
  await writeFile(join(broken, 'config.json'), JSON.stringify({ ...config, quantization_config: undefined }));
  const run = quantize(broken, { method: 'rtn', output });
  await expect(run).rejects.toThrow(UnquantizableWeightError);
  await expect(run).rejects.toThrow(`${bad}: the weight at row 0, column 10 is NaN`);
  expect(await exists(output)).toBe(false);
});

test('the files beside the weights of a GGUF model make a folder with the same tokenizer and chat template', async () => {
  const gguf = sharedData('smollm2-135m-instruct', 'SmolLM2-135M-Instruct.Q4_1.gguf');
  if (!gguf) return;
  using source = await openCheckpoint(gguf);
  const files = modelFiles(
    source,
    { method: 'rtn' },
    { output, layers: [], bytesBefore: 0, bytesAfter: 0, resumed: 0 },
    [],
  );
  for (const [name, content] of files) await writeFile(join(folder, name), content);
  const norm = source.tensors.get('model.norm.weight') as TensorInfo;
  const data = (): Uint8Array => norm.storage.read(norm.offset, norm.byteLength);
  await writeSafetensors(join(folder, 'model.safetensors'), [
    { name: norm.name, dtype: 'F32', shape: norm.shape, data },
  ]);

  using copy = await openCheckpoint(folder);
  expect(copy.format).toBe('packed');
  expect(copy.chatTemplate()?.source).toBe(source.chatTemplate()?.source);
  const [before, after] = [await source.tokenizer(), await copy.tokenizer()];
  expect(after.encode('<|im_start|>user\nHello, 123!')).toEqual(before.encode('<|im_start|>user\nHello, 123!'));
  expect(copy.eosTokenIds).toEqual(source.eosTokenIds);
  expect(copy.vector('model.norm.weight')).toEqual(source.vector('model.norm.weight'));
});
