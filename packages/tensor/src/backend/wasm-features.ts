import { LlmError } from '../errors.ts';
import type { WasmFile } from './wasm-file.ts';

/** What is used of it: its types belong to browsers. */
export interface WebAssemblyFeatures {
  validate(bytes: Uint8Array): boolean;
}

/** A module of one function without parameters that leaves a vector, made by these instructions. */
function module(...instructions: number[]): Uint8Array {
  const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  const [functionType, vector, end] = [0x60, 0x7b, 0x0b];
  const types = [1, 5, 1, functionType, 0, 1, vector];
  const functions = [3, 2, 1, 0];
  const body = [0, ...instructions, end];
  return Uint8Array.from([...magic, ...types, ...functions, 10, body.length + 2, 1, body.length, ...body]);
}

const zeros = [0x41, 0, 0xfd, 0x0f]; // i32.const 0, i8x16.splat
const simd = module(...zeros);
const relaxedSimd = module(...zeros, ...zeros, ...zeros, 0xfd, 0x93, 0x02); // i32x4.relaxed_dot_i8x16_i7x16_add_s

/**
 * The file with the best instructions that this engine knows; it refuses files with others.
 * @throws {@link LlmError} with code `NO_WASM_SIMD`
 */
export function bestWasmFile(
  engine: WebAssemblyFeatures | undefined = (globalThis as { WebAssembly?: WebAssemblyFeatures }).WebAssembly,
): WasmFile {
  if (engine?.validate(relaxedSimd)) return 'tensor-relaxed.wasm';
  if (engine?.validate(simd)) return 'tensor.wasm';
  throw new LlmError(
    'NO_WASM_SIMD',
    `This engine has no WebAssembly${engine ? ' with vectors of 128 bits' : ''}. Use Chrome or Edge 91, Firefox 89, Safari 16.4, ` +
      'Node 20, or anything newer, and allow WebAssembly in its settings.',
  );
}
