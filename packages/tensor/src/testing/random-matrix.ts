import type { PackedFormat } from '../matrix.ts';
import type { PackedDescription, PlainCodes } from '../packing.ts';

export const packedFormats: readonly PackedFormat[] = [
  ...(['int4-sym', 'int4-asym', 'int4-min', 'int4-two', 'int4-two-asym', 'int8'] as const),
  ...(['int2-sym', 'int2-asym', 'int3-sym', 'int3-asym'] as const),
];

export function codeBits(format: PackedFormat): number {
  return Number(format.charAt(3));
}

/** The code of weight 0 in formats without zero points. */
export function zeroCode(format: PackedFormat): number {
  return format === 'int4-min' ? 0 : 2 ** (codeBits(format) - 1);
}

// Tests run in a context of their own, where every look at a global object is slow.
const { imul } = Math;

/** Numbers in [0, 1), the same for the same seed (Steele and others, SplitMix). */
export function randomGenerator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Random codes and fields; scales and minima are exact in float16, some scales negative. */
export function packedCase(description: PackedDescription, random: () => number): PlainCodes {
  const { format, rows, columns, groupSize = columns } = description;
  const groups = rows * Math.ceil(columns / groupSize);
  const codes = 2 ** codeBits(format);
  const half = () => (Math.round(random() * 2046) - 1023) / 1024;
  const twoLevel = format === 'int4-two' || format === 'int4-two-asym';
  return {
    codes: Uint8Array.from({ length: rows * columns }, () => random() * codes),
    scales: twoLevel
      ? Float32Array.from({ length: rows }, () => random() / 16)
      : Float32Array.from({ length: groups }, half),
    ...(format.endsWith('-asym') ? { zeroPoints: Uint8Array.from({ length: groups }, () => random() * codes) } : {}),
    ...(format === 'int4-min' ? { minima: Float32Array.from({ length: groups }, half) } : {}),
    ...(twoLevel ? { multipliers: Uint8Array.from({ length: groups }, () => 1 + random() * 16) } : {}),
  };
}
