import { expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { OutOfMemoryError } from '../errors.ts';
import { Storage } from '../storage.ts';
import { backend } from './load.ts';
import { packageRoot } from './package-root.ts';

process.env['LLM_BACKEND'] = 'wasm';
const built = existsSync(join(packageRoot, 'prebuilds/wasm/tensor.wasm'));
const withWasm = built ? test : test.skip;

withWasm.each([
  ['more than one piece may have', 3 * 2 ** 30],
  ['more than addresses reach', 5 * 2 ** 30],
])('%s is refused, with what to do, and smaller storage still works', (_, bytes) => {
  expect(backend().kind).toBe('wasm');
  const refusal = (): unknown => Storage.allocate(bytes);
  expect(refusal).toThrow(OutOfMemoryError);
  expect(refusal).toThrow(/WebAssembly has 4 GiB at most.*smaller model/);
  using small = Storage.allocate(16);
  small.write(0, Uint8Array.of(1, 2, 3));
  expect([...small.read(0, 4)]).toEqual([1, 2, 3, 0]);
});

// The last of these growths is one that the engine refuses: addresses end at 4 GiB.
const withMemory = built && freemem() > 6 * 2 ** 30 ? test : test.skip;

withMemory('(with 6 GiB free) where memory cannot grow any more, what is there stays usable', () => {
  const piece = 2 ** 30;
  const pieces: Storage[] = [];
  expect(() => {
    for (let i = 0; i < 5; i++) pieces.push(Storage.allocate(piece));
  }).toThrow(expect.objectContaining({ code: 'OUT_OF_MEMORY', requestedBytes: piece }));
  expect(pieces.length).toBeGreaterThan(0);
  const last = pieces.at(-1) as Storage;
  last.write(piece - 4, Uint8Array.of(5, 6, 7, 8));
  expect([...last.read(piece - 4, 4)]).toEqual([5, 6, 7, 8]);
  for (const storage of pieces) storage[Symbol.dispose]();
  using again = Storage.allocate(piece);
  expect(again.byteLength).toBe(piece);
});
