import { decodeElements, halfTable } from '../../number-formats.ts';
import type { GgufType, GgufTypeName } from './types.ts';

/** Decodes one block at byte `at` into the values from `to` on. */
type DecodeBlock = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

/** The float32 values of GGUF blocks, in their order. */
export function dequantize(type: GgufType, bytes: Uint8Array): Float32Array {
  const decode = decoders[type.name];
  if (typeof decode === 'string') return decodeElements(decode, bytes);
  const blocks = Math.floor(bytes.byteLength / type.bytes);
  const out = new Float32Array(blocks * type.values);
  for (let block = 0; block < blocks; block++) decode(bytes, block * type.bytes, out, block * type.values);
  return out;
}

function f16(bytes: Uint8Array, at: number): number {
  return halfTable()[u8(bytes, at) | (u8(bytes, at + 1) << 8)] as number;
}

function u8(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

function i8(bytes: Uint8Array, at: number): number {
  return (u8(bytes, at) << 24) >> 24;
}

function u32(bytes: Uint8Array, at: number): number {
  return u8(bytes, at) | (u8(bytes, at + 1) << 8) | (u8(bytes, at + 2) << 16) | (u8(bytes, at + 3) << 24);
}

// The kinds with 32 values in a block keep value j in the low and value j + 16 in the high half of byte j.

function q4(scaleAndMin: (bytes: Uint8Array, at: number) => [number, number], codesAt: number): DecodeBlock {
  return (bytes, at, out, to) => {
    const [scale, min] = scaleAndMin(bytes, at);
    for (let j = 0; j < 16; j++) {
      const pair = u8(bytes, at + codesAt + j);
      out[to + j] = scale * (pair & 15) + min;
      out[to + j + 16] = scale * (pair >> 4) + min;
    }
  };
}

function q5(scaleAndMin: (bytes: Uint8Array, at: number) => [number, number], bitsAt: number): DecodeBlock {
  return (bytes, at, out, to) => {
    const [scale, min] = scaleAndMin(bytes, at);
    const fifth = u32(bytes, at + bitsAt);
    for (let j = 0; j < 16; j++) {
      const pair = u8(bytes, at + bitsAt + 4 + j);
      out[to + j] = scale * ((pair & 15) | (((fifth >>> j) & 1) << 4)) + min;
      out[to + j + 16] = scale * ((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) + min;
    }
  };
}

function centred(zero: number): (bytes: Uint8Array, at: number) => [number, number] {
  return (bytes, at) => {
    const scale = f16(bytes, at);
    return [scale, -zero * scale];
  };
}

const withMin = (bytes: Uint8Array, at: number): [number, number] => [f16(bytes, at), f16(bytes, at + 2)];

const decodeQ8: DecodeBlock = (bytes, at, out, to) => {
  const scale = f16(bytes, at);
  for (let j = 0; j < 32; j++) out[to + j] = scale * i8(bytes, at + 2 + j);
};

/** The 16 levels of IQ4_NL and IQ4_XS: a fixed table of ggml. */
const iq4Levels: readonly number[] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const decodeIq4Nl: DecodeBlock = (bytes, at, out, to) => {
  decodeIq4(bytes, at + 2, f16(bytes, at), out, to);
};

const decodeIq4Xs: DecodeBlock = (bytes, at, out, to) => {
  const scale = f16(bytes, at);
  const high = u8(bytes, at + 2) | (u8(bytes, at + 3) << 8);
  for (let part = 0; part < 8; part++) {
    const low = (u8(bytes, at + 4 + (part >> 1)) >> (4 * (part & 1))) & 15;
    const factor = (low | (((high >> (2 * part)) & 3) << 4)) - 32;
    decodeIq4(bytes, at + 8 + 16 * part, scale * factor, out, to + 32 * part);
  }
};

function decodeIq4(bytes: Uint8Array, at: number, scale: number, out: Float32Array, to: number): void {
  for (let j = 0; j < 16; j++) {
    const pair = u8(bytes, at + j);
    out[to + j] = scale * (iq4Levels[pair & 15] as number);
    out[to + j + 16] = scale * (iq4Levels[pair >> 4] as number);
  }
}

// The K kinds hold 256 values: scales of sub-blocks, themselves quantized, under one or two fp16 factors.

const decodeQ2K: DecodeBlock = (bytes, at, out, to) => {
  const scale = f16(bytes, at + 80);
  const min = f16(bytes, at + 82);
  for (let i = 0; i < 256; i++) {
    const packed = u8(bytes, at + (i >> 4));
    const code = (u8(bytes, at + 16 + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
    out[to + i] = scale * (packed & 15) * code - min * (packed >> 4);
  }
};

const decodeQ3K: DecodeBlock = (bytes, at, out, to) => {
  const scale = f16(bytes, at + 108);
  for (let i = 0; i < 256; i++) {
    const part = i >> 4;
    const low = (u8(bytes, at + 96 + (part & 7)) >> (4 * (part >> 3))) & 15;
    const high = (u8(bytes, at + 104 + (part & 3)) >> (2 * (part >> 2))) & 3;
    const code = (u8(bytes, at + 32 + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
    const third = (u8(bytes, at + (i & 31)) >> (i >> 5)) & 1;
    out[to + i] = scale * ((low | (high << 4)) - 32) * (code - (third ? 0 : 4));
  }
};

/** The 6-bit scale and min of sub-block `part` out of the 12 bytes of Q4_K and Q5_K. */
function scaleAndMin(bytes: Uint8Array, at: number, part: number): [number, number] {
  if (part < 4) return [u8(bytes, at + part) & 63, u8(bytes, at + part + 4) & 63];
  const low = u8(bytes, at + part + 4);
  return [(low & 15) | ((u8(bytes, at + part - 4) >> 6) << 4), (low >> 4) | ((u8(bytes, at + part) >> 6) << 4)];
}

const decodeQ4K: DecodeBlock = (bytes, at, out, to) => {
  const scale = f16(bytes, at);
  const min = f16(bytes, at + 2);
  for (let part = 0; part < 8; part++) {
    const [factor, minFactor] = scaleAndMin(bytes, at + 4, part);
    for (let j = 0; j < 32; j++) {
      const code = (u8(bytes, at + 16 + 32 * (part >> 1) + j) >> (4 * (part & 1))) & 15;
      out[to + 32 * part + j] = scale * factor * code - min * minFactor;
    }
  }
};

const decodeQ5K: DecodeBlock = (bytes, at, out, to) => {
  const scale = f16(bytes, at);
  const min = f16(bytes, at + 2);
  for (let part = 0; part < 8; part++) {
    const [factor, minFactor] = scaleAndMin(bytes, at + 4, part);
    for (let j = 0; j < 32; j++) {
      const low = (u8(bytes, at + 48 + 32 * (part >> 1) + j) >> (4 * (part & 1))) & 15;
      const fifth = (u8(bytes, at + 16 + j) >> part) & 1;
      out[to + 32 * part + j] = scale * factor * (low | (fifth << 4)) - min * minFactor;
    }
  }
};

const decodeQ6K: DecodeBlock = (bytes, at, out, to) => {
  const scale = f16(bytes, at + 208);
  for (let i = 0; i < 256; i++) {
    const half = i >> 7;
    const quarter = (i >> 5) & 3;
    const l = i & 31;
    const low = (u8(bytes, at + 64 * half + l + 32 * (quarter & 1)) >> (4 * (quarter >> 1))) & 15;
    const high = (u8(bytes, at + 128 + 32 * half + l) >> (2 * quarter)) & 3;
    out[to + i] = scale * i8(bytes, at + 192 + (i >> 4)) * ((low | (high << 4)) - 32);
  }
};

const decoders: Readonly<Record<GgufTypeName, DecodeBlock | Parameters<typeof decodeElements>[0]>> = {
  F32: 'F32',
  F16: 'F16',
  BF16: 'BF16',
  F64: 'F64',
  I8: 'I8',
  I16: 'I16',
  I32: 'I32',
  I64: 'I64',
  Q4_0: q4(centred(8), 2),
  Q4_1: q4(withMin, 4),
  Q5_0: q5(centred(16), 2),
  Q5_1: q5(withMin, 4),
  Q8_0: decodeQ8,
  Q2_K: decodeQ2K,
  Q3_K: decodeQ3K,
  Q4_K: decodeQ4K,
  Q5_K: decodeQ5K,
  Q6_K: decodeQ6K,
  IQ4_NL: decodeIq4Nl,
  IQ4_XS: decodeIq4Xs,
};
