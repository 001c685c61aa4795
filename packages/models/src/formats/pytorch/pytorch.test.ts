import { afterAll, expect, test } from '@jest/globals';
import { LlmError } from '@llm/tensor';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { mutate, random } from '../../../../../tools/fuzz/mutate.mjs';
import { demoModel } from '../../../../../tools/test/shared-data.mjs';
import { CorruptFileError, PickleError, UnsupportedFormatError } from '../../errors.ts';
import { openCheckpoint } from '../../open-checkpoint.ts';
import { readPickle } from './pickle.ts';
import { readPytorchFile } from './read.ts';

// Made by torch itself: tools/fixtures/pytorch.py.
const fixtures = join(import.meta.dirname, 'fixtures');

const folder = mkdtempSync(join(tmpdir(), 'llm-pytorch-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const path = join(folder, 'x.bin');

test('the tensors that torch saved, where they lie', async () => {
  copyFileSync(join(demoModel(), 'config.json'), join(folder, 'config.json'));
  copyFileSync(join(fixtures, 'tensors.bin'), join(folder, 'pytorch_model.bin'));
  using checkpoint = await openCheckpoint(folder);
  expect(checkpoint.format).toBe('pytorch');
  const seen = Object.fromEntries([...checkpoint.tensors].map(([name, { dtype, shape }]) => [name, [dtype, shape]]));
  expect(seen).toEqual({
    weight: ['F32', [3, 4]],
    half: ['F16', [3]],
    brain: ['BF16', [2, 1]],
    view: ['F32', [2, 4]],
    whole: ['F32', [3, 4]],
    ids: ['I64', [3]],
    scalar: ['F32', []],
  });
  expect([...checkpoint.read('weight')]).toEqual(Array.from({ length: 12 }, (_, i) => i / 2));
  expect([...checkpoint.read('view')]).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
  expect([...checkpoint.read('half')]).toEqual([1, -2.5, 65504]);
  expect([...checkpoint.read('ids')]).toEqual([1, -2, 3]);
  expect([...checkpoint.read('scalar')]).toEqual([7.25]);
  expect([...checkpoint.matrix('brain').toFloat32()]).toEqual([3, -1]);
});

test('a pickle that wants to run something is refused by name', () => {
  const evil = join(fixtures, 'evil.bin');
  expect(() => readPytorchFile(evil)).toThrow(PickleError);
  expect(() => readPytorchFile(evil)).toThrow(/(builtins|__builtin__)\.print/u);
});

test('a tensor that is stored turned is said to be', () => {
  expect(() => readPytorchFile(join(fixtures, 'turned.bin'))).toThrow(UnsupportedFormatError);
});

test.each([
  ['os.system by GLOBAL', 'cos\nsystem\n(X\x02\x00\x00\x00lstR.', 'os.system'],
  ['an instance by OBJ', '(cos\nsystem\no.', 'os.system'],
  ['an extension code', '\x82\x01.', '0x82'],
  ['NEWOBJ', ')\x81.', '0x81'],
  ['text that is code for older protocols', "S'x'\n.", '0x53'],
])('refuses %s', (_name, pickle, wanted) => {
  const read = (): unknown => readPickle('x', Buffer.from(pickle, 'latin1'), new Set(['collections.OrderedDict']));
  expect(read).toThrow(PickleError);
  expect(read).toThrow(wanted);
});

test.each([
  '',
  'N',
  '\x80',
  'X\xff\x00\x00\x00a.',
  't.',
  '0.',
  'h\x05.',
  'NNa.',
  '}NNNs.',
  'NNR.',
  'ccollections',
  '\x8a\x09\x01.',
  '(.',
])('notices the damage in the pickle %j', (pickle) => {
  expect(() => readPickle('x', Buffer.from(pickle, 'latin1'), new Set())).toThrow(CorruptFileError);
});

test('integers of all sizes', () => {
  const read = (pickle: string): unknown => readPickle('x', Buffer.from(pickle, 'latin1'), new Set());
  expect(read('K\xff.')).toBe(255);
  expect(read('M\x00\x01.')).toBe(256);
  expect(read('J\xfe\xff\xff\xff.')).toBe(-2);
  expect(read('\x8a\x02\x00\x80.')).toBe(-32768);
  expect(read('\x8a\x00.')).toBe(0);
  expect(read('G\x3f\xf8\x00\x00\x00\x00\x00\x00.')).toBe(1.5);
});

test('any damage is an error of ours or a file whose tensors are inside it', () => {
  const sound = readFileSync(join(fixtures, 'tensors.bin'));
  const next = random(99);
  for (let round = 0; round < 500; round++) {
    const damaged = mutate(sound, next);
    writeFileSync(path, damaged);
    try {
      for (const { offset, byteLength } of readPytorchFile(path)) {
        expect(offset + byteLength).toBeLessThanOrEqual(damaged.length);
      }
    } catch (error) {
      if (!LlmError.isInstance(error)) throw error;
    }
  }
});

test('what is no archive is said to be none', () => {
  writeFileSync(path, 'not a zip archive at all, but long enough to look into');
  expect(() => readPytorchFile(path)).toThrow('no zip archive');
});
