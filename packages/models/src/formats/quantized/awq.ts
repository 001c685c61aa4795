import { withShape } from '../../stored-file.ts';
import { groupSizeOf } from './gptq.ts';
import type { QuantizedLinear } from './linear.ts';
import { readFloats, readWords, transposeFloats, type TensorParts } from './tensor-parts.ts';

/** Of the 8 outputs in a word, output j is field `fieldOf[j]`: AutoAWQ's "gemm" order. */
export const fieldOf: readonly number[] = [0, 4, 1, 5, 2, 6, 3, 7];

/**
 * The linears of an AWQ checkpoint in the "gemm" layout: `qweight` [inputs, outputs / 8] and `qzeros` [groups, outputs / 8], both
 * packed along the outputs in an interleaved order, and `scales` [groups, outputs].
 */
export function awqLinears(parts: TensorParts, configuredGroupSize: number): QuantizedLinear[] {
  return parts.stems('qweight').map((stem) => {
    const qweight = parts.matrix(stem, 'qweight', ['I32']);
    const qzeros = parts.matrix(stem, 'qzeros', ['I32']);
    const scales = parts.matrix(stem, 'scales', ['F16', 'BF16', 'F32']);
    const [columns, words] = qweight.shape as [number, number];
    const [groups, rows] = scales.shape as [number, number];
    if (rows !== words * 8) parts.fail(qweight, `packs ${words * 8} outputs in 4 bits, the scales have ${rows}`);
    if (qzeros.shape[0] !== groups || qzeros.shape[1] !== words) parts.fail(qzeros, `does not fit the scales`);
    const groupSize = groupSizeOf(columns, groups, configuredGroupSize);
    if (groupSize === undefined) parts.fail(scales, `has ${groups} groups for ${columns} inputs`);
    return {
      info: withShape(qweight, [rows, columns], 'AWQ 4 bit', `${stem}.weight`),
      ...{ bits: 4, rows, columns, groupSize },
      stored: {
        codes: { tensor: qweight, order: 'interleaved' },
        scales: { tensor: scales, byRow: false },
        zeroPoints: { tensor: qzeros, order: 'interleaved' },
      },
      codes: () => outputsFirst(readWords(qweight), columns, words),
      scales: () => transposeFloats(readFloats(scales), groups, rows),
      zeroPoints: () => Uint16Array.from(outputsFirst(readWords(qzeros), groups, words)),
      groupOf: () => undefined,
    };
  });
}

/** [n, outputs / 8] words as [outputs, n] codes. */
function outputsFirst(words: Uint32Array, n: number, rowWords: number): Uint8Array {
  const codes = new Uint8Array(words.length * 8);
  for (let column = 0; column < rowWords; column++) {
    for (let j = 0; j < 8; j++) {
      const shift = 4 * (fieldOf[j] as number);
      const to = (column * 8 + j) * n;
      for (let i = 0; i < n; i++) codes[to + i] = ((words[i * rowWords + column] as number) >>> shift) & 15;
    }
  }
  return codes;
}
