import type { PackedDescription, PlainCodes } from '../packing.ts';

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
  const codes = format === 'int8' ? 256 : 16;
  const half = () => (Math.round(random() * 2046) - 1023) / 1024;
  const twoLevel = format === 'int4-two' || format === 'int4-two-asym';
  return {
    codes: Uint8Array.from({ length: rows * columns }, () => random() * codes),
    scales: twoLevel
      ? Float32Array.from({ length: rows }, () => random() / 16)
      : Float32Array.from({ length: groups }, half),
    ...(format === 'int4-asym' || format === 'int4-two-asym'
      ? { zeroPoints: Uint8Array.from({ length: groups }, () => random() * 16) }
      : {}),
    ...(format === 'int4-min' ? { minima: Float32Array.from({ length: groups }, half) } : {}),
    ...(twoLevel ? { multipliers: Uint8Array.from({ length: groups }, () => 1 + random() * 16) } : {}),
  };
}
