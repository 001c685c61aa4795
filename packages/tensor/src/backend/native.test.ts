import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { BackendLoadError, type BackendAttempt } from '../errors.ts';
import { explainNativeFailure } from './explain-native-failure.ts';
import { loadFrom, loadNative } from './native.ts';
import { packageRoot, requireAtRunTime } from './package-root.ts';

const name = `@llm/tensor-${process.platform}-${process.arch}`;
const onLinux = process.platform === 'linux' ? test : test.skip;
let folder: string;
let working: Buffer;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'llm-native-'));
  working = readFileSync((requireAtRunTime('node-gyp-build') as { resolve(at: string): string }).resolve(packageRoot));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A package of a platform with this binary. */
function packageWith(binary: Uint8Array, at: string): string {
  const file = join(folder, at, `prebuilds/${process.platform}-${process.arch}/tensor.node`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, binary);
  return join(folder, at);
}

function patched(from: string, to: string): Buffer {
  expect(working.includes(from)).toBe(true);
  return Buffer.from(working.toString('latin1').replaceAll(from, to), 'latin1');
}

function attemptsAt(place: string): readonly BackendAttempt[] {
  try {
    loadFrom([[name, () => place]]);
  } catch (error) {
    if (error instanceof BackendLoadError) return error.attempts;
    throw error;
  }
  throw new Error('it loaded');
}

test('a binary is found in this package', () => {
  expect(loadNative().addon.kernelTables().length).toBeGreaterThan(0);
});

test('the next place is tried after one that fails', () => {
  const bad = packageWith(Buffer.from('not a binary'), 'bad');
  const loaded = loadFrom([
    [name, () => bad],
    ['this package', () => packageRoot],
  ]);
  expect(loaded.kind).toBe('native');
});

test('a damaged file', () => {
  for (const [at, binary] of [
    ['text', Buffer.from('not a binary')],
    ['empty', Buffer.alloc(0)],
    ['half', working.subarray(0, 3000)],
  ] as const) {
    const [attempt] = attemptsAt(packageWith(binary, at));
    expect(attempt).toMatchObject({ remedy: expect.stringMatching(/install(ation)? again/) });
    expect(attempt!.reason).toContain(join(folder, at));
  }
});

onLinux('a binary for another C library', () => {
  const musl = attemptsAt(packageWith(patched('libc.so.6', 'libc.musl'), 'musl'));
  expect(musl).toMatchObject([
    { reason: expect.stringContaining('built for musl'), remedy: expect.stringContaining('delete node_modules') },
  ]);
  const newer = attemptsAt(packageWith(patched('GLIBC_2.', 'GLIBC_9.'), 'newer'));
  expect(newer).toMatchObject([
    {
      reason: expect.stringMatching(/too old: GLIBC_9\.\d+ is missing/),
      remedy: expect.stringContaining('glibc 2.28'),
    },
  ]);
});

test('what musl says of a binary for glibc', () => {
  const message =
    'Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by tensor.node)';
  expect(explainNativeFailure(new Error(message), name, 'tensor.node').reason).toContain('built for glibc');
});

test('a package that is not there, or has no binary for this platform', () => {
  const missing = (): string => dirname(requireAtRunTime.resolve(`${name}-nowhere/package.json`));
  expect(() => loadFrom([[name, missing]])).toThrow(`${name} is not installed`);
  mkdirSync(join(folder, 'hollow'));
  expect(attemptsAt(join(folder, 'hollow'))).toMatchObject([{ reason: expect.stringContaining('has no binary') }]);
});
