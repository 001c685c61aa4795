import { packMatrixAsync, type Matrix, type PackedFormat, type PlainCodes } from '@llm/tensor';

import { roundToHalf } from './half.ts';

/** The grids that weights can be put on while loading. */
export type LoadFormat = Extract<PackedFormat, 'int4-sym' | 'int4-asym' | 'int8'>;

/** Rows converted between two turns of the event loop. */
const chunkRows = 256;

/**
 * Quantizes a dense matrix by rounding to nearest. Scales are rounded to float16 before any code is chosen, so that codes are
 * the nearest ones for the scales that are stored. `int4-sym` is full range: the element of largest magnitude of a group maps
 * to -8, for which the scale may be negative. `int4-asym` always holds 0 exactly.
 */
export async function roundToNearest(
  weight: Matrix,
  format: LoadFormat,
  groupSize: number,
  signal?: AbortSignal,
): Promise<Matrix> {
  const { rows, columns } = weight;
  const group = groupSize === -1 ? columns : Math.min(groupSize, columns);
  const groups = Math.ceil(columns / group);
  const codes = new Uint8Array(rows * columns);
  const scales = new Float32Array(rows * groups);
  const zeroPoints = format === 'int4-asym' ? new Uint8Array(rows * groups) : undefined;
  const plain: PlainCodes = { codes, scales, ...(zeroPoints && { zeroPoints }) };

  for (let begin = 0; begin < rows; begin += chunkRows) {
    signal?.throwIfAborted();
    const end = Math.min(rows, begin + chunkRows);
    const values = weight.toFloat32(begin, end);
    for (let row = begin; row < end; row++)
      for (let g = 0; g < groups; g++) {
        const from = (row - begin) * columns + g * group;
        const length = Math.min(group, columns - g * group);
        const at = row * groups + g;
        const { scale, zero, most } = fit(format, values, from, length);
        scales[at] = scale;
        if (zeroPoints) zeroPoints[at] = zero;
        encode(values, from, length, scale === 0 ? 0 : 1 / scale, zero, most, codes, row * columns + g * group);
      }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return packMatrixAsync({ format, rows, columns, groupSize: group }, plain);
}

/** Scale and zero point of one group, and the largest code. */
function fit(
  format: LoadFormat,
  values: Float32Array,
  from: number,
  length: number,
): { scale: number; zero: number; most: number } {
  let least = 0;
  let largest = 0;
  for (let i = from; i < from + length; i++) {
    const value = values[i] ?? 0;
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  if (format === 'int8') return { scale: roundToHalf(Math.max(largest, -least) / 127), zero: 128, most: 255 };
  if (format === 'int4-sym')
    return { scale: roundToHalf((largest >= -least ? largest : least) / -8), zero: 8, most: 15 };
  const scale = roundToHalf((largest - least) / 15);
  return { scale, zero: scale === 0 ? 0 : Math.min(15, Math.round(-least / scale)), most: 15 };
}

/** 1.5 * 2^52: adding and taking it off rounds a small double to an integer, ties to even. */
const rounder = 1.5 * 2 ** 52;

function encode(
  values: Float32Array,
  from: number,
  length: number,
  inverse: number,
  zero: number,
  most: number,
  codes: Uint8Array,
  to: number,
): void {
  for (let i = 0; i < length; i++) {
    const code = (values[from + i] ?? 0) * inverse + rounder - rounder + zero;
    codes[to + i] = code < 0 ? 0 : code > most ? most : code;
  }
}
