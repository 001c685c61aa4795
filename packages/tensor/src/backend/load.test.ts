import { expect, test } from '@jest/globals';
import { BackendLoadError, InvalidOptionError, LlmError } from '../errors.ts';
import { backend, loadBackend } from './load.ts';

test('native code is preferred', () => {
  expect(loadBackend().kind).toBe('native');
  expect(backend()).toBe(backend());
});

test('an unknown backend is refused', () => {
  expect(() => loadBackend('cuda')).toThrow(InvalidOptionError);
});

test('the error lists every attempt and says what to do', () => {
  const error = new BackendLoadError([
    { backend: 'native', reason: 'no file', remedy: 'Install it.' },
    { backend: 'wasm', reason: 'no SIMD', remedy: '' },
  ]);
  expect(error.message).toMatch(/native: no file\n {4}Install it.\n {2}wasm: no SIMD\n.*npm run native/);
  expect(LlmError.isInstance(error)).toBe(true);
});
