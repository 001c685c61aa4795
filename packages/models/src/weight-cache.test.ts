import { afterAll, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { demoModel } from '../../../tools/test/shared-data.mjs';
import type { Checkpoint } from './checkpoint.ts';
import { convert } from './convert/convert.ts';
import { openCheckpoint } from './open-checkpoint.ts';

const root = mkdtempSync(join(tmpdir(), 'llm-weight-cache-'));
afterAll(() => {
  rmSync(root, { recursive: true });
});
const model = join(root, 'model.gguf');
const weight = 'model.layers.0.mlp.up_proj.weight';
let folders = 0;

function cacheFolder(): string {
  return join(root, `cache-${folders++}`);
}

function contents(checkpoint: Checkpoint): unknown {
  const names = [...checkpoint.tensors.values()].filter(({ shape }) => shape.length === 2).map(({ name }) => name);
  const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  const matrices = names.map((name) => [name, checkpoint.describe(name), hash(checkpoint.matrix(name).bytes())]);
  return [matrices, checkpoint.conversions, checkpoint.vector('model.norm.weight')];
}

test('the second opening maps what the first one laid out anew', async () => {
  await convert(demoModel(), model, { to: 'gguf', type: 'Q4_1' });
  const folder = cacheFolder();
  using plain = await openCheckpoint(model);
  const stages = new Set<string>();
  using first = await openCheckpoint(model, {
    cache: { folder },
    onProgress: ({ stage }) => {
      stages.add(stage);
    },
  });
  expect(stages).toEqual(new Set(['write']));
  const files = readdirSync(folder);
  expect(files).toHaveLength(2);
  using second = await openCheckpoint(model, {
    cache: { folder },
    onProgress: () => {
      throw new Error('nothing is to be done');
    },
  });
  await second.prepare();
  expect(contents(first)).toEqual(contents(plain));
  expect(contents(second)).toEqual(contents(plain));
  expect(second.format).toBe('gguf');
  expect(second.read(weight).subarray(0, 1000)).toEqual(plain.read(weight).subarray(0, 1000));
  expect(readdirSync(folder)).toEqual(files);
});

test('a file that is not whole is made anew, and a model that changed has a file of its own', async () => {
  const folder = cacheFolder();
  (await openCheckpoint(model, { cache: { folder } }))[Symbol.dispose]();
  const [weights] = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
  truncateSync(join(folder, weights as string), 1000);
  using plain = await openCheckpoint(model);
  using again = await openCheckpoint(model, { cache: { folder } });
  expect(contents(again)).toEqual(contents(plain));
  expect(readdirSync(folder)).toHaveLength(2);
  utimesSync(model, 1, 1);
  using changed = await openCheckpoint(model, { cache: { folder } });
  expect(contents(changed)).toEqual(contents(plain));
  expect(readdirSync(folder)).toHaveLength(4);
});

test('two at once, one result', async () => {
  const folder = cacheFolder();
  const both = await Promise.all([1, 2].map(() => openCheckpoint(model, { cache: { folder } })));
  const [one, two] = both.map(contents);
  expect(one).toEqual(two);
  expect(readdirSync(folder)).toHaveLength(2);
  for (const checkpoint of both) checkpoint[Symbol.dispose]();
});

test('the oldest model gives way, and one without room is not kept', async () => {
  const folder = cacheFolder();
  (await openCheckpoint(model, { cache: { folder, maxBytes: 10 } }))[Symbol.dispose]();
  expect(() => readdirSync(folder)).toThrow('ENOENT');
  (await openCheckpoint(model, { cache: { folder } }))[Symbol.dispose]();
  const before = readdirSync(folder);
  utimesSync(model, 2, 2);
  const maxBytes = 4 * 2 ** 20;
  (await openCheckpoint(model, { cache: { folder, maxBytes } }))[Symbol.dispose]();
  const after = readdirSync(folder);
  expect(after).toHaveLength(2);
  expect(after).not.toEqual(before);
});

test('what a process that ended left is removed when it is old, and files of others never', async () => {
  const folder = cacheFolder();
  mkdirSync(folder);
  const key = 'c0ffee'.repeat(6).slice(0, 32);
  const own = [`${key}.safetensors`, `.${key}.safetensors.1-0-0.partial`, `${key.replace('c', 'd')}.json`];
  const others = ['model.safetensors', 'config.json', '.model.safetensors.1-0-0.partial'];
  for (const name of [...own, ...others]) writeFileSync(join(folder, name), 'x'.repeat(1000));
  utimesSync(model, 3, 3);
  (await openCheckpoint(model, { cache: { folder } }))[Symbol.dispose]();
  expect(readdirSync(folder)).toEqual(expect.arrayContaining([...own, ...others]));
  for (const name of [...own, ...others]) utimesSync(join(folder, name), 1, 1);
  utimesSync(model, 4, 4);
  const maxBytes = 4 * 2 ** 20;
  (await openCheckpoint(model, { cache: { folder, maxBytes } }))[Symbol.dispose]();
  const left = readdirSync(folder);
  expect(left).toEqual(expect.arrayContaining(others));
  expect(left).toHaveLength(others.length + 2);
  expect(left.filter((name) => own.includes(name))).toEqual([]);
});

test('weights that lie turned around are made ahead, and kept', async () => {
  const gpt2 = join(import.meta.dirname, '../fixtures/gpt2');
  const name = 'transformer.h.0.mlp.c_fc.weight';
  using plain = await openCheckpoint(gpt2);
  const totals = new Set<number>();
  await plain.prepare([name], { onProgress: ({ total }) => totals.add(total) });
  expect(totals).toEqual(new Set([1]));
  const folder = cacheFolder();
  using kept = await openCheckpoint(gpt2, { cache: { folder } });
  expect(readdirSync(folder)).toHaveLength(2);
  expect(kept.describe(name)).toEqual(plain.describe(name));
  expect(kept.matrix(name).bytes()).toEqual(plain.matrix(name).bytes());
});

test('a model whose weights are used as they lie needs no cache', async () => {
  const folder = cacheFolder();
  using checkpoint = await openCheckpoint(demoModel(), { cache: { folder } });
  expect(checkpoint.matrix(weight).format).toBe('bf16');
  expect(() => readdirSync(folder)).toThrow('ENOENT');
  await expect(openCheckpoint(model, { cache: { size: 1 } as never })).rejects.toThrow('size');
});
