import { afterEach, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { OutOfMemoryError } from '../errors.ts';
import { wasmBytes } from './wasm-file.ts';
import { createMemory, forOneThread } from './wasm-module.ts';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';

interface Engine {
  validate(bytes: Uint8Array): boolean;
}
const { WebAssembly: engine } = globalThis as unknown as { WebAssembly: Engine };
// Tests have classes of another realm than their WebAssembly.
const kindOf = (buffer: object): string => Object.prototype.toString.call(buffer).slice(8, -1);
const { SharedArrayBuffer: shared } = globalThis;

afterEach(() => {
  globalThis.SharedArrayBuffer = shared;
  Reflect.deleteProperty(globalThis, 'crossOriginIsolated');
});

test('memory is shared where the engine shares it', () => {
  const { memory, shared: isShared } = createMemory();
  expect(isShared).toBe(true);
  expect(kindOf(memory.buffer)).toBe('SharedArrayBuffer');
});

test.each([
  ['without SharedArrayBuffer', () => Reflect.deleteProperty(globalThis, 'SharedArrayBuffer')],
  ['in a page that is not isolated', () => Object.assign(globalThis, { crossOriginIsolated: false })],
])('%s it is not', (_, prepare) => {
  prepare();
  const { memory, shared: isShared } = createMemory();
  expect(isShared).toBe(false);
  expect(kindOf(memory.buffer)).toBe('ArrayBuffer');
});

test('an engine that refuses shared memory is asked for memory of its own', () => {
  const asked: (boolean | undefined)[] = [];
  class Memory {
    readonly buffer = new ArrayBuffer(0);
    constructor(limits: { shared?: boolean }) {
      asked.push(limits.shared);
      if (limits.shared) throw new RangeError('could not allocate memory');
    }
  }
  expect(createMemory(Memory)).toMatchObject({ shared: false });
  expect(asked).toEqual([true, undefined]);
});

test('an engine that refuses all memory is an error that says what to do', () => {
  class Memory {
    readonly buffer = new ArrayBuffer(0);
    constructor() {
      throw new RangeError('could not allocate memory');
    }
  }
  expect(() => createMemory(Memory)).toThrow(OutOfMemoryError);
  expect(() => createMemory(Memory)).toThrow(/refused 16\.0 MiB.*Close other pages or programs/);
});

const built = existsSync(join(packageRoot, 'prebuilds/wasm/tensor.wasm'));

(built ? test : test.skip)('a file becomes one for memory of its own by one bit', () => {
  const file = wasmBytes('tensor.wasm');
  const own = forOneThread(file);
  expect(engine.validate(own)).toBe(true);
  const changed = [...own.keys()].filter((i) => own[i] !== file[i]);
  expect(changed.map((i) => [file[i], own[i]])).toEqual([[3, 1]]);
});

test('a module without memory is refused', () => {
  const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  expect(() => forOneThread(empty)).toThrow('imports no memory');
});
