import { afterEach, expect, test } from '@jest/globals';
import { InvalidModelFilesError, NoFileSystemError } from './errors.ts';
import { mountFiles } from './model-files.ts';
import { basename, dirname, join, mkdir, relative } from './node-modules.ts';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from './virtual-files.ts';

const config = { name: 'my-model/config.json', data: new Blob(['{"model_type":"llama"}']) };
const weights = { name: 'my-model/model.safetensors', data: Uint8Array.from({ length: 100 }, (_, i) => i) };

test('a folder of blobs and bytes can be listed and read in parts', async () => {
  using files = await mountFiles([config, weights, { name: '.DS_Store', data: new Blob([]) }]);
  expect(readdirSync(files.path)).toEqual(['config.json', 'model.safetensors']);
  expect(statSync(files.path).isDirectory()).toBe(true);
  expect(readFileSync(join(files.path, 'config.json'), 'utf8')).toBe('{"model_type":"llama"}');
  expect([...readFileSync(join(files.path, 'model.safetensors'))]).toEqual([...weights.data]);

  const descriptor = openSync(join(files.path, 'model.safetensors'));
  expect(fstatSync(descriptor)).toMatchObject({ size: 100 });
  const target = new Uint8Array(8);
  expect(readSync(descriptor, target, 2, 4, 10)).toBe(4);
  expect([...target]).toEqual([0, 0, 10, 11, 12, 13, 0, 0]);
  expect(readSync(descriptor, target, 0, 8, 97)).toBe(3);
  expect(readSync(descriptor, target, 0, 8, 1000)).toBe(0);
  closeSync(descriptor);
  expect(() => fstatSync(descriptor)).toThrow('EBADF');
});

test('a single .gguf file is a path of its own, and is gone when it is disposed', async () => {
  const files = await mountFiles([{ name: 'tiny.gguf', data: new Uint8Array(4) }]);
  expect(basename(files.path)).toBe('tiny.gguf');
  expect(statSync(files.path).isFile()).toBe(true);
  files[Symbol.dispose]();
  expect(existsSync(files.path)).toBe(false);
  expect(() => openSync(files.path)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});

test('in a worker blobs are read in parts, when they are wanted', async () => {
  const read: [number, number][] = [];
  class FakeReader {
    readAsArrayBuffer({ start, end }: { start: number; end: number }): ArrayBuffer {
      read.push([start, end]);
      return new Uint8Array(end - start).fill(7).buffer;
    }
  }
  Object.assign(globalThis, { FileReaderSync: FakeReader });
  const blob = { size: 2 ** 40, slice: (start: number, end: number) => ({ start, end }) } as unknown as Blob;
  using files = await mountFiles([{ name: 'large.gguf', data: blob }]);
  expect(read).toEqual([]);
  const target = new Uint8Array(3);
  expect(readSync(openSync(files.path), target, 0, 3, 2 ** 39)).toBe(3);
  expect([...target]).toEqual([7, 7, 7]);
  expect(read).toEqual([[2 ** 39, 2 ** 39 + 3]]);
});

afterEach(() => {
  Reflect.deleteProperty(globalThis, 'FileReaderSync');
});

test.each([
  ['no files', [], /no files/],
  ['no model', [{ name: 'notes.txt', data: new Blob([]) }], /Among notes.txt there is no model/],
  ['two models', ['a', 'b'].map((name) => ({ name: `${name}.gguf`, data: new Blob([]) })), /several .gguf/],
  ['two folders', ['a', 'b'].map((name) => ({ name: `${name}/config.json`, data: new Blob([]) })), /Two files/],
])('%s is an error that says what is wanted', async (_, files, message) => {
  const error: unknown = await mountFiles(files).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InvalidModelFilesError);
  expect(error).toMatchObject({ message: expect.stringMatching(message) as unknown, code: 'INVALID_MODEL_FILES' });
});

test('paths are those of POSIX', () => {
  expect(join('/files/1', '../2', './x')).toBe('/files/2/x');
  expect(join('a', '', 'b')).toBe('a/b');
  expect([dirname('/a/b'), dirname('/a'), relative('/a', '/a/b/c')]).toEqual(['/a', '/', 'b/c']);
});

test('what needs a disk says so', async () => {
  await expect(mkdir()).rejects.toBeInstanceOf(NoFileSystemError);
});
