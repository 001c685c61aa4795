import { unpackMatrix, type Matrix } from '@llm/tensor';

import { encodeFloats, floatToHalf } from '../../number-formats.ts';

/** The kinds of tensors that are written. */
export type WrittenType = 'F32' | 'F16' | 'Q8_0' | 'Q4_0' | 'Q4_1';

const BLOCK = 32;

/** Values as tensors of a kind, by ggml's own rules (its reference quantizers). The length is a multiple of 32 for blocks. */
export function encodeBlocks(type: WrittenType, values: Float32Array): Uint8Array {
  if (type === 'F32' || type === 'F16') return encodeFloats(type, values);
  const { bytes: size, encode } = blockKinds[type];
  const blocks = values.length / BLOCK;
  const out = new Uint8Array(blocks * size);
  for (let block = 0; block < blocks; block++) {
    encode(values.subarray(block * BLOCK, (block + 1) * BLOCK), out, block * size);
  }
  return out;
}

const blockKinds = {
  Q8_0: { bytes: 34, encode: encodeQ8 },
  Q4_0: { bytes: 18, encode: encodeQ4Symmetric },
  Q4_1: { bytes: 20, encode: encodeQ4WithMin },
} as const;

function encodeQ8(values: Float32Array, out: Uint8Array, at: number): void {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  const scale = Math.fround(largest / 127);
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  writeHalf(out, at, scale);
  values.forEach((value, j) => {
    const x = Math.fround(value * inverse);
    out[at + 2 + j] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
  });
}

function encodeQ4Symmetric(values: Float32Array, out: Uint8Array, at: number): void {
  // The value of the largest magnitude, with its sign, becomes exactly -8.
  let extreme = 0;
  for (const value of values) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  const scale = Math.fround(extreme / -8);
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  writeHalf(out, at, scale);
  writeNibbles(out, at + 2, (j) =>
    Math.min(15, Math.trunc(Math.fround(Math.fround((values[j] as number) * inverse) + 8.5))),
  );
}

function encodeQ4WithMin(values: Float32Array, out: Uint8Array, at: number): void {
  let min = Infinity;
  let max = -Infinity;
  for (const value of values) {
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  const scale = Math.fround(Math.fround(max - min) / 15);
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  writeHalf(out, at, scale);
  writeHalf(out, at + 2, min);
  writeNibbles(out, at + 4, (j) => {
    const x = Math.fround(Math.fround((values[j] as number) - min) * inverse);
    return Math.min(15, Math.trunc(Math.fround(x + 0.5)));
  });
}

/** A packed matrix as the blocks that hold the same grid; undefined where there are none. `exact`: nothing was rounded. */
export function blocksOfMatrix(matrix: Matrix): { readonly type: WrittenType; readonly bytes: Uint8Array } | undefined {
  if (matrix.groupSize !== BLOCK || matrix.columns % BLOCK !== 0) return undefined;
  const { codes, scales, minima, zeroPoints } = unpackMatrix(matrix);
  const type = ({ 'int4-sym': 'Q4_0', 'int4-min': 'Q4_1', 'int4-asym': 'Q4_1', int8: 'Q8_0' } as const)[
    matrix.format as 'int4-sym'
  ] as 'Q4_0' | 'Q4_1' | 'Q8_0' | undefined;
  if (type === undefined) return undefined;
  const { bytes: size } = blockKinds[type];
  const out = new Uint8Array(scales.length * size);
  scales.forEach((scale, block) => {
    const at = block * size;
    const from = block * BLOCK;
    writeHalf(out, at, scale);
    if (type === 'Q8_0') {
      for (let j = 0; j < BLOCK; j++) out[at + 2 + j] = (codes[from + j] as number) - 128;
      return;
    }
    if (type === 'Q4_1')
      writeHalf(out, at + 2, minima ? (minima[block] as number) : -scale * (zeroPoints?.[block] ?? 0));
    writeNibbles(out, at + (type === 'Q4_1' ? 4 : 2), (j) => codes[from + j] as number);
  });
  return { type, bytes: out };
}

/** Code j in the low and code j + 16 in the high half of byte j. */
function writeNibbles(out: Uint8Array, at: number, code: (j: number) => number): void {
  for (let j = 0; j < 16; j++) out[at + j] = code(j) | (code(j + 16) << 4);
}

function writeHalf(out: Uint8Array, at: number, value: number): void {
  const bits = floatToHalf(value);
  out[at] = bits & 255;
  out[at + 1] = bits >> 8;
}
