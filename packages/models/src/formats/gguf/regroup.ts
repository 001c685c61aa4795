import type { PackedFormat, PlainCodes } from '@llm/tensor';

import { halfTable } from '../../number-formats.ts';
import { iq4Levels, scaleAndMin } from './dequantize.ts';
import type { GgufType } from './types.ts';

/** Blocks of GGUF as codes on a grid that a packed matrix has, in groups of 32. */
export interface Regrouped {
  readonly format: PackedFormat;
  readonly plain: PlainCodes;
  /** False where the scales take more than float16 holds. */
  readonly lossless: boolean;
}

export const REGROUPED_SIZE = 32;

/**
 * The kinds of blocks whose weights lie on a packed grid, besides those that are imported natively: Q5_0 and IQ4_NL are exact
 * in 8 bits; IQ4_XS and Q4_K too but for the rounding of scales that are products. Undefined for all others.
 */
export function regroup(type: GgufType, bytes: Uint8Array): Regrouped | undefined {
  switch (type.name) {
    case 'Q5_0':
      return eightBit(type, bytes, true, (at, codes, scales, to) => {
        scales[to / 32] = half(bytes, at);
        for (let j = 0; j < 32; j++) {
          const low = (byte(bytes, at + 6 + (j & 15)) >> (j < 16 ? 0 : 4)) & 15;
          const fifth = (byte(bytes, at + 2 + (j >> 3)) >> (j & 7)) & 1;
          codes[to + j] = 128 - 16 + (low | (fifth << 4));
        }
      });
    case 'IQ4_NL':
      return eightBit(type, bytes, true, (at, codes, scales, to) => {
        scales[to / 32] = half(bytes, at);
        levels(bytes, at + 2, codes, to);
      });
    case 'IQ4_XS':
      return eightBit(type, bytes, false, (at, codes, scales, to) => {
        for (let part = 0; part < 8; part++) {
          const low = (byte(bytes, at + 4 + (part >> 1)) >> (4 * (part & 1))) & 15;
          const high = (byte(bytes, at + 2 + (part >> 2)) >> (2 * (part & 3))) & 3;
          scales[to / 32 + part] = half(bytes, at) * ((low | (high << 4)) - 32);
          levels(bytes, at + 8 + 16 * part, codes, to + 32 * part);
        }
      });
    case 'Q4_K':
      return fourBitWithMin(type, bytes);
    default:
      return undefined;
  }
}

type Fill = (at: number, codes: Uint8Array, scales: Float32Array, to: number) => void;

function eightBit(type: GgufType, bytes: Uint8Array, lossless: boolean, fill: Fill): Regrouped {
  const blocks = bytes.byteLength / type.bytes;
  const codes = new Uint8Array(blocks * type.values);
  const scales = new Float32Array(codes.length / REGROUPED_SIZE);
  for (let block = 0; block < blocks; block++) fill(block * type.bytes, codes, scales, block * type.values);
  return { format: 'int8', plain: { codes, scales }, lossless };
}

function fourBitWithMin(type: GgufType, bytes: Uint8Array): Regrouped {
  const blocks = bytes.byteLength / type.bytes;
  const codes = new Uint8Array(blocks * type.values);
  const scales = new Float32Array(codes.length / REGROUPED_SIZE);
  const minima = new Float32Array(scales.length);
  for (let block = 0; block < blocks; block++) {
    const at = block * type.bytes;
    for (let part = 0; part < 8; part++) {
      const [factor, minFactor] = scaleAndMin(bytes, at + 4, part);
      scales[8 * block + part] = half(bytes, at) * factor;
      minima[8 * block + part] = -half(bytes, at + 2) * minFactor;
      const from = at + 16 + 32 * (part >> 1);
      const to = block * type.values + 32 * part;
      for (let j = 0; j < 32; j++) codes[to + j] = (byte(bytes, from + j) >> (4 * (part & 1))) & 15;
    }
  }
  return { format: 'int4-min', plain: { codes, scales, minima }, lossless: false };
}

function levels(bytes: Uint8Array, at: number, codes: Uint8Array, to: number): void {
  for (let j = 0; j < 16; j++) {
    codes[to + j] = 128 + (iq4Levels[byte(bytes, at + j) & 15] as number);
    codes[to + j + 16] = 128 + (iq4Levels[byte(bytes, at + j) >> 4] as number);
  }
}

const halves = halfTable();

function half(bytes: Uint8Array, at: number): number {
  return halves[byte(bytes, at) | (byte(bytes, at + 1) << 8)] as number;
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}
