import { expect, test } from '@jest/globals';
import { bestWasmFile } from './wasm-features.ts';

const { WebAssembly: engine } = globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } };

/** The opcodes after the prefix of vector instructions that tell a probe apart. */
const usesRelaxed = (bytes: Uint8Array): boolean => bytes.includes(0x93);

test('both probes are modules, and Node has vectors', () => {
  const seen: { relaxed: boolean; valid: boolean }[] = [];
  bestWasmFile({
    validate: (bytes) => {
      seen.push({ relaxed: usesRelaxed(bytes), valid: engine.validate(bytes) });
      return !usesRelaxed(bytes);
    },
  });
  const [major = 0] = process.versions.node.split('.').map(Number);
  expect(seen).toEqual([
    { relaxed: true, valid: major >= 22 },
    { relaxed: false, valid: true },
  ]);
});

test('the best file that the engine takes', () => {
  expect(bestWasmFile({ validate: () => true })).toBe('tensor-relaxed.wasm');
  expect(bestWasmFile({ validate: (bytes) => !usesRelaxed(bytes) })).toBe('tensor.wasm');
});

test.each([
  ['without vectors', { validate: () => false }, /no WebAssembly with vectors/],
  ['without WebAssembly', null as never, /no WebAssembly\. Use/],
])('an engine %s is told so', (_, old, message) => {
  expect(() => bestWasmFile(old)).toThrow(
    expect.objectContaining({ code: 'NO_WASM_SIMD', message: expect.stringMatching(message) as unknown }),
  );
});
