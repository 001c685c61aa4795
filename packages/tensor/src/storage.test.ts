import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { backend } from './backend/load.ts';
import {
  DisposedError,
  FileAccessError,
  InvalidArgumentError,
  OutOfMemoryError,
  UnknownOptionError,
} from './errors.ts';
import { Storage } from './storage.ts';

const folder = mkdtempSync(join(tmpdir(), 'storage-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

test('a mapped file reads as its bytes, also where its name is not ASCII', async () => {
  const bytes = Uint8Array.from({ length: 10_000 }, (_, index) => index % 251);
  using storage = Storage.map(file('gewichte-größe 権.bin', bytes), { prefetch: true });
  await storage.populate();
  expect(storage.byteLength).toBe(10_000);
  expect(storage.read()).toEqual(bytes);
  expect(storage.read(4095, 3)).toEqual(bytes.slice(4095, 4098));
  expect(storage.read(10_000, 0)).toHaveLength(0);
});

test('an empty file is a storage of no bytes', async () => {
  using storage = Storage.map(file('empty.bin', new Uint8Array(0)));
  expect(storage.byteLength).toBe(0);
  expect(storage.read()).toHaveLength(0);
  await storage.populate();
});

test('allocated memory starts as zeros and keeps what is written', () => {
  for (const byteLength of [0, 1, 100, 2 ** 22 + 5]) {
    using storage = Storage.allocate(byteLength);
    expect(storage.byteLength).toBe(byteLength);
    if (byteLength < 4) continue;
    expect(storage.read().every((byte) => byte === 0)).toBe(true);
    storage.write(byteLength - 3, Uint8Array.of(1, 2, 3));
    expect(storage.read(byteLength - 4)).toEqual(Uint8Array.of(0, 1, 2, 3));
  }
});

test('bytes outside are refused', () => {
  using storage = Storage.allocate(64);
  const outside: [number, number][] = [
    [-1, 1],
    [64, 1],
    [0, 65],
    [60, -1],
    [0.5, 1],
    [Number.NaN, 1],
    [0, Number.POSITIVE_INFINITY],
    [2 ** 53 - 1, 2 ** 53 - 1],
  ];
  for (const [offset, length] of outside) {
    expect(() => storage.read(offset, length)).toThrow(InvalidArgumentError);
    expect(() => storage.populate(offset, length)).toThrow(InvalidArgumentError);
  }
  expect(() => {
    storage.write(63, new Uint8Array(2));
  }).toThrow(InvalidArgumentError);
  expect(() => {
    storage.write(64, new Uint8Array(0));
  }).not.toThrow();
});

test('the addon itself refuses them too', () => {
  const { addon } = backend();
  const handle = addon.allocateStorage(64);
  for (const offset of [-1, 1, 64, 0.5, Number.NaN, 2 ** 60])
    expect(() => {
      addon.readStorage(handle, offset, new Uint8Array(64));
    }).toThrow('not inside a storage of 64 bytes');
  expect(() => addon.storageByteLength({} as typeof handle)).toThrow('no storage handle');
});

test('a mapped file cannot be written to', () => {
  using storage = Storage.map(file('fixed.bin', new Uint8Array(8)));
  if (backend().kind === 'wasm') return;
  expect(() => {
    storage.write(0, new Uint8Array(1));
  }).toThrow(InvalidArgumentError);
});

test('use after dispose throws; disposing twice does not', () => {
  const storage = Storage.allocate(16);
  storage[Symbol.dispose]();
  storage[Symbol.dispose]();
  expect(storage.disposed).toBe(true);
  expect(() => storage.read()).toThrow(DisposedError);
  expect(() => storage.handle).toThrow(DisposedError);
});

test('files that cannot be mapped are named', () => {
  const missing = join(folder, 'missing.bin');
  expect(() => Storage.map(missing)).toThrow(FileAccessError);
  expect(() => Storage.map(missing)).toThrow(/missing\.bin: .*no such file/i);
  expect(() => Storage.map(folder)).toThrow(FileAccessError);
});

test('impossible sizes and options are refused', () => {
  expect(() => Storage.allocate(2 ** 52)).toThrow(OutOfMemoryError);
  expect(() => Storage.allocate(-1)).toThrow(InvalidArgumentError);
  expect(() => Storage.map(folder, { prefetsch: true } as object)).toThrow(UnknownOptionError);
});

test('more than 4 GiB can be mapped', () => {
  if (backend().kind === 'wasm') return;
  using storage = Storage.allocate(2 ** 32 + 2 ** 20); // untouched pages cost nothing
  storage.write(2 ** 32 + 7, Uint8Array.of(42));
  expect(storage.read(2 ** 32 + 6, 3)).toEqual(Uint8Array.of(0, 42, 0));
});
