import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';

/** The addon with SIMD, and the same with relaxed SIMD as well. */
export type WasmFile = 'tensor.wasm' | 'tensor-relaxed.wasm';

/** In bundles for browsers runtime/src/browser/wasm-file.ts stands here, which has fetched the file before. */
export function wasmBytes(file: WasmFile): Uint8Array {
  return readFileSync(join(packageRoot, 'prebuilds', 'wasm', file));
}
