import { encodeFloats, type ElementType } from '../../number-formats.ts';
import { fieldOf } from './awq.ts';
import { packStream, wordCount } from './bits.ts';
import { groupCount, type QuantizedCodes } from './linear.ts';
import { transposeFloats } from './tensor-parts.ts';

/** A tensor of a linear, ready to be written. */
export interface EncodedPart {
  /** What follows the linear's name, such as `qweight`. */
  readonly part: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Why a layout cannot hold a linear; undefined if it can. */
export function gptqObstacle({ bits, rows, columns }: QuantizedCodes): string | undefined {
  if (![2, 3, 4, 8].includes(bits)) return `${bits} bits`;
  if ((rows * bits) % 32 !== 0) return `${rows} outputs, which fill no whole words`;
  return (columns * bits) % 32 === 0 ? undefined : `${columns} inputs, which fill no whole words`;
}

/** GPTQ, version 2: zero points as they are. */
export function encodeGptq(linear: QuantizedCodes): readonly EncodedPart[] {
  const { bits, rows, columns, groupSize, codes, scales, zeroPoints, groupOf } = linear;
  const groups = groupCount(linear);
  const qweight = new Uint32Array(wordCount(columns, bits) * rows);
  for (let row = 0; row < rows; row++) packStream(codes, row * columns, 1, columns, bits, qweight, row, rows);
  const rowWords = wordCount(rows, bits);
  const qzeros = new Uint32Array(groups * rowWords);
  const zeros = Uint8Array.from(zeroPoints);
  for (let group = 0; group < groups; group++)
    packStream(zeros, group, groups, rows, bits, qzeros, group * rowWords, 1);
  const gIdx = groupOf ?? Int32Array.from({ length: columns }, (_, input) => Math.floor(input / groupSize));
  return [
    words('qweight', [wordCount(columns, bits), rows], qweight),
    words('qzeros', [groups, rowWords], qzeros),
    halves('scales', [groups, rows], transposeFloats(scales, rows, groups)),
    words('g_idx', [columns], new Uint32Array(gIdx.buffer)),
  ];
}

export function awqObstacle(linear: QuantizedCodes): string | undefined {
  if (linear.bits !== 4) return `${linear.bits} bits`;
  if (linear.groupOf) return 'groups that are no runs of inputs';
  if (linear.rows % 8 !== 0) return `${linear.rows} outputs, which fill no whole words`;
  return linear.columns % linear.groupSize === 0 ? undefined : 'a shorter last group';
}

/** AWQ in the "gemm" layout. */
export function encodeAwq(linear: QuantizedCodes): readonly EncodedPart[] {
  const { rows, columns, codes, scales, zeroPoints } = linear;
  const groups = groupCount(linear);
  return [
    words('qweight', [columns, rows / 8], interleave(codes, rows, columns)),
    words('qzeros', [groups, rows / 8], interleave(zeroPoints, rows, groups)),
    halves('scales', [groups, rows], transposeFloats(scales, rows, groups)),
  ];
}

/** [outputs, n] codes as [n, outputs / 8] words. */
function interleave(codes: ArrayLike<number>, rows: number, n: number): Uint32Array {
  const rowWords = rows / 8;
  const out = new Uint32Array(n * rowWords);
  for (let row = 0; row < rows; row++) {
    const shift = 4 * (fieldOf[row % 8] as number);
    const word = row >> 3;
    for (let i = 0; i < n; i++) {
      out[i * rowWords + word] = (out[i * rowWords + word] as number) | ((codes[row * n + i] as number) << shift);
    }
  }
  return out;
}

export function compressedObstacle(linear: QuantizedCodes): string | undefined {
  return linear.columns % linear.groupSize === 0 ? undefined : 'a shorter last group';
}

/** compressed-tensors, "pack-quantized". */
export function encodeCompressed(linear: QuantizedCodes, symmetric: boolean): readonly EncodedPart[] {
  const { bits, rows, columns, codes, scales, zeroPoints, groupOf } = linear;
  const groups = groupCount(linear);
  const rowWords = wordCount(columns, bits);
  const packed = new Uint32Array(rows * rowWords);
  for (let row = 0; row < rows; row++) packStream(codes, row * columns, 1, columns, bits, packed, row * rowWords, 1);
  const parts: EncodedPart[] = [
    words('weight_packed', [rows, rowWords], packed),
    halves('weight_scale', [rows, groups], scales),
    {
      part: 'weight_shape',
      dtype: 'I64',
      shape: [2],
      bytes: new Uint8Array(BigInt64Array.of(BigInt(rows), BigInt(columns)).buffer),
    },
  ];
  if (!symmetric) {
    const zeros = Uint8Array.from(zeroPoints);
    const packedZeros = new Uint32Array(wordCount(rows, bits) * groups);
    for (let group = 0; group < groups; group++)
      packStream(zeros, group, groups, rows, bits, packedZeros, group, groups);
    parts.push(words('weight_zero_point', [wordCount(rows, bits), groups], packedZeros));
  }
  if (groupOf) parts.push(words('weight_g_idx', [columns], new Uint32Array(groupOf.buffer)));
  return parts;
}

function words(part: string, shape: readonly number[], values: Uint32Array): EncodedPart {
  return { part, dtype: 'I32', shape, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

function halves(part: string, shape: readonly number[], values: Float32Array): EncodedPart {
  return { part, dtype: 'F16', shape, bytes: encodeFloats('F16', values) };
}
