import type { TensorInfo } from '../../checkpoint.ts';
import { withShape } from '../../stored-file.ts';
import { unpackStream, wordCount } from './bits.ts';
import { groupSizeOf, groupsOf } from './gptq.ts';
import type { QuantizedLinear } from './linear.ts';
import { readFloats, readWords, type TensorParts } from './tensor-parts.ts';

const scaleTypes = ['F16', 'BF16', 'F32'];

/**
 * The linears of a compressed-tensors checkpoint, "pack-quantized": `weight_packed` [outputs, words] along the inputs with codes
 * 2^(bits-1) above the signed value, `weight_scale` [outputs, groups], `weight_zero_point` packed along the outputs, and
 * `weight_shape`. `bits` is what the configuration says of the linear.
 */
export function compressedLinears(
  parts: TensorParts,
  schemeOf: (stem: string) => { readonly bits: number; readonly groupSize: number },
): QuantizedLinear[] {
  return parts.stems('weight_packed').map((stem) => {
    const packed = parts.matrix(stem, 'weight_packed', ['I32']);
    const scales = parts.matrix(stem, 'weight_scale', scaleTypes);
    const zeros = parts.optional(stem, 'weight_zero_point');
    const shapeTensor = parts.optional(stem, 'weight_shape');
    const gIdx = parts.optional(stem, 'weight_g_idx');
    const { bits, groupSize: configured } = schemeOf(stem);
    const [rows, words] = packed.shape as [number, number];
    const columns = shapeTensor ? (readFloats(shapeTensor)[1] ?? 0) : (words * 32) / bits;
    // Releases before 0.9 left the bits over where fields of 3, 5, 6 or 7 bits do not fill a word.
    const perWord = Math.floor(32 / bits);
    const dense = words === wordCount(columns, bits);
    if (!dense && words !== Math.ceil(columns / perWord))
      parts.fail(packed, `does not hold ${columns} inputs of ${bits} bits`);
    const groups = scales.shape[1] as number;
    if (scales.shape[0] !== rows) parts.fail(scales, `does not have ${rows} outputs`);
    const groupSize = groupSizeOf(columns, groups, configured);
    if (groupSize === undefined) parts.fail(scales, `has ${groups} groups for ${columns} inputs`);
    if (zeros && (zeros.dtype !== 'I32' || zeros.shape[0] !== wordCount(rows, bits) || zeros.shape[1] !== groups)) {
      parts.fail(zeros, `does not fit ${rows} outputs and ${groups} groups`);
    }
    if (gIdx && (gIdx.shape[0] !== columns || gIdx.dtype !== 'I32')) parts.fail(gIdx, `is not for ${columns} inputs`);
    return {
      info: withShape(packed, [rows, columns], `compressed ${bits} bit`, `${stem}.weight`),
      ...{ bits, rows, columns, groupSize },
      // Fields of 5, 6 and 7 bits, and those that leave bits over, are read one by one.
      stored:
        dense && [2, 3, 4, 8].includes(bits)
          ? {
              codes: { tensor: packed, order: 'across' },
              scales: { tensor: scales, byRow: true },
              zeroPoints: zeros && { tensor: zeros, order: 'down' },
            }
          : undefined,
      codes() {
        const codes = new Uint8Array(rows * columns);
        const source = readWords(packed);
        for (let row = 0; row < rows; row++) {
          if (dense) unpackStream(source, row * words, 1, bits, codes, row * columns, columns);
          else unpackWords(source, row * words, bits, codes, row * columns, columns);
        }
        return codes;
      },
      scales: () => readFloats(scales),
      zeroPoints: () =>
        zeros ? unpackZeros(zeros, bits, rows, groups) : new Uint16Array(rows * groups).fill(1 << (bits - 1)),
      groupOf: () => gIdx && groupsOf(parts, gIdx, groups, groupSize),
    };
  });
}

/** Fields that never cross words. */
function unpackWords(
  words: Uint32Array,
  start: number,
  bits: number,
  out: Uint8Array,
  to: number,
  count: number,
): void {
  const perWord = Math.floor(32 / bits);
  const mask = (1 << bits) - 1;
  for (let i = 0; i < count; i++) {
    out[to + i] = ((words[start + Math.floor(i / perWord)] as number) >>> (bits * (i % perWord))) & mask;
  }
}

function unpackZeros(tensor: TensorInfo, bits: number, rows: number, groups: number): Uint16Array {
  const words = readWords(tensor);
  const column = new Uint8Array(rows);
  const zeroPoints = new Uint16Array(rows * groups);
  for (let group = 0; group < groups; group++) {
    unpackStream(words, group, groups, bits, column, 0, rows);
    for (let row = 0; row < rows; row++) zeroPoints[row * groups + group] = column[row] as number;
  }
  return zeroPoints;
}
