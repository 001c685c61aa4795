import { Matrix, Storage, type DenseFormat } from '@llm/tensor';

import { encodeFloats } from './number-formats.ts';

/** The largest finite float16. */
const LARGEST_HALF = 65504;

/** A dense matrix with its own copy of the bytes. */
export function denseMatrix(format: DenseFormat, rows: number, columns: number, bytes: Uint8Array): Matrix {
  const storage = Storage.allocate(bytes.byteLength);
  storage.write(0, bytes);
  return Matrix.owning({ format, rows, columns }, storage);
}

/** Values as float16, or as bfloat16 where they are too large. `values` come in pieces. */
export function halfMatrix(rows: number, columns: number, values: () => Iterable<Float32Array>): Matrix {
  let fits = true;
  for (const piece of values()) fits &&= piece.every((value) => Math.abs(value) <= LARGEST_HALF);
  const [format, type] = fits ? (['f16', 'F16'] as const) : (['bf16', 'BF16'] as const);
  const storage = Storage.allocate(rows * columns * 2);
  let at = 0;
  for (const piece of values()) {
    const bytes = encodeFloats(type, piece);
    storage.write(at, bytes);
    at += bytes.byteLength;
  }
  return Matrix.owning({ format, rows, columns }, storage);
}
