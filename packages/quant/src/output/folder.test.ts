import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { DiskFullError, OutputError } from '../errors.ts';
import { guard } from './disk.ts';
import { OutputFolder, partialPath } from './folder.ts';
import type { OutputTensor } from './layout.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quant-output-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const tensors: OutputTensor[] = [
  { name: 'norm', dtype: 'F32', shape: [3], byteLength: 12 },
  {
    name: 'a',
    dtype: 'U8',
    shape: [128],
    byteLength: 128,
    packed: { format: 'int4-sym', rows: 4, columns: 8, groupSize: -1 },
  },
  {
    name: 'b',
    dtype: 'U8',
    shape: [64],
    byteLength: 64,
    packed: { format: 'int8', rows: 4, columns: 8, groupSize: 8 },
  },
];

const bytesOf = ({ name, byteLength }: OutputTensor): Uint8Array => new Uint8Array(byteLength).fill(name.charCodeAt(0));

function start(shardBytes = 1e9, fingerprint = 'same'): Promise<OutputFolder> {
  return OutputFolder.open({ path: join(folder, 'out'), tensors, shardBytes, fingerprint });
}

/** A reader of its own: offsets by hand. */
async function readTensors(file: string): Promise<Map<string, { dtype: string; at: number; bytes: Uint8Array }>> {
  const content = await readFile(file);
  const length = Number(content.readBigUInt64LE(0));
  const { __metadata__, ...entries } = JSON.parse(content.subarray(8, 8 + length).toString()) as Record<string, never>;
  expect((__metadata__ as unknown as { format: string }).format).toBe('pt');
  let end = 0;
  const found = Object.entries<{ dtype: string; data_offsets: [number, number] }>(entries).map(([name, entry]) => {
    const [from, to] = entry.data_offsets;
    expect(from).toBe(end);
    end = to;
    return [
      name,
      { dtype: entry.dtype, at: 8 + length + from, bytes: content.subarray(8 + length + from, 8 + length + to) },
    ] as const;
  });
  expect(8 + length + end).toBe(content.length);
  return new Map(found);
}

test('a folder appears when it is finished, packed weights first and aligned', async () => {
  await using output = await start();
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    await output.write(tensor.name, bytes.subarray(5), 5);
    await output.write(tensor.name, bytes.subarray(0, 5));
    await output.complete(tensor.name, { size: tensor.byteLength });
  }
  expect(await readdir(folder)).toEqual(['out.partial']);
  await output.finish(new Map([['config.json', '{}']]));
  expect(await readdir(folder)).toEqual(['out']);
  expect(await readdir(join(folder, 'out'))).toEqual(['config.json', 'model.safetensors']);
  const found = await readTensors(join(folder, 'out/model.safetensors'));
  expect([...found.keys()]).toEqual(['a', 'b', 'norm']);
  for (const tensor of tensors) expect(found.get(tensor.name)?.bytes).toEqual(Buffer.from(bytesOf(tensor)));
  for (const name of ['a', 'b']) expect((found.get(name)?.at ?? 1) % 64).toBe(0);
});

test('an interrupted folder is continued', async () => {
  const [first, second, third] = tensors as [OutputTensor, OutputTensor, OutputTensor];
  {
    await using output = await start();
    await output.write(first.name, bytesOf(first));
    await output.complete(first.name, { error: 0.5 });
    await output.write(second.name, bytesOf(second));
  }
  await using output = await start();
  expect([...output.records]).toEqual([['norm', { error: 0.5 }]]);
  for (const tensor of [second, third]) {
    await output.write(tensor.name, bytesOf(tensor));
    await output.complete(tensor.name, {});
  }
  await output.finish(new Map());
  const found = await readTensors(join(folder, 'out/model.safetensors'));
  for (const tensor of tensors) expect(found.get(tensor.name)?.bytes).toEqual(Buffer.from(bytesOf(tensor)));
});

test('a journal that a crash cut short loses its last line only', async () => {
  {
    await using output = await start();
    for (const tensor of tensors) await output.complete(tensor.name, {});
  }
  const journal = join(partialPath(join(folder, 'out')), 'progress.jsonl');
  await writeFile(journal, (await readFile(journal, 'utf8')).slice(0, -5));
  await using output = await start();
  expect([...output.records.keys()]).toEqual(['norm', 'a']);
});

test('another recipe starts over', async () => {
  {
    await using output = await start();
    await output.complete('a', {});
  }
  await using output = await start(1e9, 'other');
  expect(output.records.size).toBe(0);
});

test('large models are cut into shards with an index', async () => {
  await using output = await start(130);
  for (const tensor of tensors) await output.write(tensor.name, bytesOf(tensor));
  await output.finish(new Map());
  const out = join(folder, 'out');
  const files = await readdir(out);
  expect(files).toEqual([
    'model-00001-of-00003.safetensors',
    'model-00002-of-00003.safetensors',
    'model-00003-of-00003.safetensors',
    'model.safetensors.index.json',
  ]);
  const index = JSON.parse(await readFile(join(out, 'model.safetensors.index.json'), 'utf8')) as {
    metadata: { total_size: number };
    weight_map: Record<string, string>;
  };
  expect(index.metadata.total_size).toBe(204);
  for (const tensor of tensors) {
    const found = await readTensors(join(out, index.weight_map[tensor.name] ?? ''));
    expect(found.get(tensor.name)?.bytes).toEqual(Buffer.from(bytesOf(tensor)));
  }
});

test('an existing folder and one being written are left alone', async () => {
  await using first = await start();
  await expect(start()).rejects.toThrow(`process ${process.pid} is writing this`);
  await first.finish(new Map());
  await expect(start()).rejects.toThrow(OutputError);
  await rm(join(folder, 'out'), { recursive: true });
  // The lock of a process that is gone does not count: no system gives out so large an id.
  await mkdir(join(folder, 'out.partial'));
  await writeFile(join(folder, 'out.partial/lock'), '999999999');
  await using again = await start();
  expect(again.records.size).toBe(0);
});

test('a full disk is said to be one, before and while it happens', async () => {
  const huge = [{ name: 'x', dtype: 'U8', shape: [2 ** 52], byteLength: 2 ** 52 }];
  const path = join(folder, 'out');
  await expect(OutputFolder.open({ path, tensors: huge, shardBytes: 1e9, fingerprint: '' })).rejects.toThrow(
    DiskFullError,
  );
  const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
  await expect(guard('out', () => Promise.reject(full))).rejects.toThrow('out: the disk is full. Make room');
  const readOnly = Object.assign(new Error('open'), { code: 'EROFS' });
  await expect(guard('out', () => Promise.reject(readOnly))).rejects.toThrow(OutputError);
});
