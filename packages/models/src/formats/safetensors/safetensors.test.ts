import { afterAll, expect, test } from '@jest/globals';
import { LlmError } from '@llm/tensor';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { mutate, random } from '../../../../../tools/fuzz/mutate.mjs';
import { demoModel } from '../../../../../tools/test/shared-data.mjs';
import { CorruptFileError, WriteError } from '../../errors.ts';
import { duplicateKey } from './duplicate-key.ts';
import { readSafetensorsHeader } from './header.ts';
import { writeSafetensors, type SafetensorsEntry } from './write.ts';

const folder = mkdtempSync(join(tmpdir(), 'llm-safetensors-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const path = join(folder, 'x.safetensors');

function file(header: unknown, data = 0, headerBytes?: number): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerBytes ?? json.length));
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(data)]));
  return path;
}

const f32 = (begin: number, end: number): unknown => ({
  dtype: 'F32',
  shape: [(end - begin) / 4],
  data_offsets: [begin, end],
});

test('reads the model that ships with the command line', () => {
  const { tensors } = readSafetensorsHeader(join(demoModel(), 'model.safetensors'));
  const embedding = tensors.find(({ name }) => name === 'model.embed_tokens.weight');
  expect(embedding).toMatchObject({ dtype: 'BF16', shape: [4096, 256], byteLength: 4096 * 256 * 2 });
  expect(tensors).toHaveLength(47);
});

test.each<[string, () => string, string]>([
  ['an empty file', () => (writeFileSync(path, ''), path), 'ends'],
  ['a header longer than the file', () => file({}, 0, 1000), 'announced'],
  ['a header of 2^63 bytes', () => file({}, 0, 2 ** 62), 'announced'],
  ['no JSON', () => file('{"a"'), 'JSON'],
  ['a JSON list', () => file('[]'), 'object'],
  ['invalid UTF-8', () => file(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('latin1')), 'entry'],
  [
    'a name twice',
    () =>
      file(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        4,
      ),
    'twice',
  ],
  ['an unknown dtype', () => file({ a: { dtype: 'F31', shape: [1], data_offsets: [0, 4] } }, 4), 'F31'],
  ['a negative size', () => file({ a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, 4), 'shape'],
  ['a size that is no number', () => file({ a: { dtype: 'F32', shape: ['1'], data_offsets: [0, 4] } }, 4), 'shape'],
  [
    'sizes whose product is too large',
    () => file({ a: { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 4] } }, 4),
    'takes',
  ],
  [
    'a shape that does not fit the bytes',
    () => file({ a: { dtype: 'F32', shape: [3], data_offsets: [0, 4] } }, 4),
    'takes 12',
  ],
  ['offsets beyond the file', () => file({ a: f32(0, 8) }, 4), 'outside'],
  ['offsets the wrong way round', () => file({ a: { dtype: 'F32', shape: [0], data_offsets: [4, 0] } }, 4), 'outside'],
  ['an overlap', () => file({ a: f32(0, 8), b: f32(4, 12) }, 12), 'overlaps'],
  ['a hole', () => file({ a: f32(0, 4), b: f32(8, 12) }, 12), 'hole of 4'],
  ['bytes at the end', () => file({ a: f32(0, 4) }, 12), '8 bytes belong'],
  ['metadata that are no texts', () => file({ __metadata__: { a: 1 } }), '__metadata__'],
])('refuses %s', (_name, make, reason) => {
  const broken = make();
  expect(() => readSafetensorsHeader(broken)).toThrow(CorruptFileError);
  expect(() => readSafetensorsHeader(broken)).toThrow(reason);
});

test('finds keys that come twice, at any depth, and only those', () => {
  expect(duplicateKey('{"a": {"b": 1, "c": {"b": 2}}, "d": ["b", {"a": 1}]}')).toBeUndefined();
  expect(duplicateKey('{"a":{"x":1,"\\u0078":2}}')).toBe('x');
  expect(duplicateKey('[{"a":"a:","b":"\\"a\\":"}]')).toBeUndefined();
  expect(duplicateKey('{"":1, "" :2}')).toBe('');
});

const entries: SafetensorsEntry[] = [
  { name: 'odd', dtype: 'U8', shape: [3], data: () => Uint8Array.of(1, 2, 3) },
  { name: 'halves', dtype: 'F16', shape: [5], data: () => new Uint8Array(10).fill(4) },
  { name: 'long', dtype: 'I64', shape: [1], data: () => new Uint8Array(8).fill(5) },
  { name: 'packed', dtype: 'U8', shape: [128], data: () => [new Uint8Array(100).fill(6), new Uint8Array(28).fill(7)] },
  { name: 'scalar', dtype: 'F32', shape: [], data: () => Promise.resolve(new Uint8Array(4).fill(8)) },
  { name: 'none', dtype: 'F32', shape: [0, 4], data: () => new Uint8Array(0) },
];

test('writes what it reads, aligned and without holes', async () => {
  const progress: number[] = [];
  await writeSafetensors(path, entries, {
    metadata: { format: 'pt', ünïcode: '☃' },
    onProgress: ({ done }) => progress.push(done),
  });
  const { metadata, tensors } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  expect(metadata).toEqual({ format: 'pt', ünïcode: '☃' });
  expect(progress.at(-1)).toBe(3 + 10 + 8 + 128 + 4);
  for (const { name, dtype, offset, byteLength } of tensors) {
    const size = { I64: 8, F32: 4, F16: 2, U8: 1 }[dtype as string] as number;
    expect(offset % (name === 'packed' ? 64 : size)).toBe(0);
    const expected = entries.find((entry) => entry.name === name);
    const data = await expected?.data();
    const whole =
      data instanceof Uint8Array ? [...data] : [...(data as Iterable<Uint8Array>)].flatMap((piece) => [...piece]);
    expect([...bytes.subarray(offset, offset + byteLength)]).toEqual(whole);
  }
  expect(tensors[0]?.offset).toBe(64 * Math.ceil((tensors[0]?.offset ?? 0) / 64));
});

test('leaves nothing behind when it fails', async () => {
  const target = join(folder, 'never.safetensors');
  const short = [{ name: 'a', dtype: 'F32', shape: [2], data: () => new Uint8Array(4) }] as const;
  await expect(writeSafetensors(target, short)).rejects.toThrow('only 4');
  const long = [{ name: 'a', dtype: 'F32', shape: [2], data: () => new Uint8Array(12) }] as const;
  await expect(writeSafetensors(target, long)).rejects.toThrow('more');
  await expect(writeSafetensors(target, [short[0], short[0]])).rejects.toThrow('Two tensors');
  const failing = (): Uint8Array => {
    throw new Error('no data');
  };
  await expect(writeSafetensors(target, [{ ...short[0], data: failing }])).rejects.toThrow('no data');
  const stop = AbortSignal.abort(new Error('stopped'));
  await expect(writeSafetensors(target, entries, { signal: stop })).rejects.toThrow('stopped');
  expect(readdirSync(folder).filter((name) => name.includes('never'))).toEqual([]);
});

test('a folder that is not there is an error that names the file', async () => {
  const target = join(folder, 'nowhere', 'x.safetensors');
  const failure = await writeSafetensors(target, entries).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(WriteError);
  expect(failure).toMatchObject({ path: target, systemCode: 'ENOENT' });
});

test('any damage to a header is an error of ours or a header whose tensors are inside the file', async () => {
  await writeSafetensors(path, entries, { metadata: { format: 'pt' } });
  const sound = readFileSync(path);
  const headerEnd = sound.length - 153;
  const next = random(20240601);
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    const damaged = mutate(sound, next, 0, headerEnd);
    writeFileSync(path, damaged);
    try {
      for (const { offset, byteLength } of readSafetensorsHeader(path).tensors) {
        expect(offset + byteLength).toBeLessThanOrEqual(damaged.length);
      }
    } catch (error) {
      if (!LlmError.isInstance(error)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(300);
});

test('every truncation is noticed', async () => {
  await writeSafetensors(path, entries);
  for (let length = readFileSync(path).length - 1; length >= 0; length -= 7) {
    truncateSync(path, length);
    expect(() => readSafetensorsHeader(path)).toThrow(CorruptFileError);
  }
});
