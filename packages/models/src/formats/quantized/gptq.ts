import type { TensorInfo } from '../../checkpoint.ts';
import { withShape } from '../../stored-file.ts';
import { unpackColumns, unpackStream, wordCount } from './bits.ts';
import type { QuantizedLinear } from './linear.ts';
import { readFloats, readWords, transposeFloats, type TensorParts } from './tensor-parts.ts';

/** How a file stores zero points: as they are (v2), or one less per field (v1), with or without a borrow between fields. */
export type ZeroPointStorage = 'plain' | 'less-one-per-field' | 'less-one-per-word';

export interface GptqOptions {
  /** Inputs of a group; -1 or less than 1: the whole row. */
  readonly groupSize: number;
  readonly zeroPoints: ZeroPointStorage;
  /** All zero points are the middle of the grid, whatever the stored words and the format's version say. */
  readonly symmetric: boolean;
}

const scaleTypes = ['F16', 'BF16', 'F32'];

/**
 * The linears of a GPTQ checkpoint: `qweight` [inputs · bits / 32, outputs] packed along the inputs, `qzeros`
 * [groups, outputs · bits / 32] along the outputs, `scales` [groups, outputs], and `g_idx` [inputs], the group of each input.
 * The number of bits is found from the shapes, since single layers may differ from what the configuration says.
 */
export function gptqLinears(parts: TensorParts, options: GptqOptions): QuantizedLinear[] {
  return parts.stems('qweight').map((stem) => {
    const qweight = parts.matrix(stem, 'qweight', ['I32']);
    const qzeros = parts.matrix(stem, 'qzeros', ['I32']);
    const scales = parts.matrix(stem, 'scales', scaleTypes);
    const gIdx = parts.optional(stem, 'g_idx');
    const [groups, rows] = scales.shape as [number, number];
    const bits = ((qzeros.shape[1] as number) * 32) / rows;
    const columns = ((qweight.shape[0] as number) * 32) / bits;
    if (![2, 3, 4, 8].includes(bits)) parts.fail(qzeros, `gives ${bits} bits for ${rows} outputs`);
    if (qweight.shape[1] !== rows || !Number.isInteger(columns)) parts.fail(qweight, `does not fit ${rows} outputs`);
    if (qzeros.shape[0] !== groups) parts.fail(qzeros, `has ${qzeros.shape[0] ?? 0} groups, the scales have ${groups}`);
    const groupSize = groupSizeOf(columns, groups, options.groupSize);
    if (groupSize === undefined) parts.fail(scales, `has ${groups} groups for ${columns} inputs`);
    if (gIdx && (gIdx.dtype !== 'I32' || gIdx.shape[0] !== columns || gIdx.shape.length !== 1)) {
      parts.fail(gIdx, `does not give a group for each of ${columns} inputs`);
    }
    const { perWord, added } = correction(options, bits);
    return {
      info: withShape(qweight, [rows, columns], `GPTQ ${bits} bit`, `${stem}.weight`),
      ...{ bits, rows, columns, groupSize },
      stored: {
        codes: { tensor: qweight, order: 'down' },
        scales: { tensor: scales, byRow: false },
        zeroPoints: { tensor: qzeros, order: 'across', addedToWords: perWord, addedToFields: added },
      },
      codes() {
        const codes = new Uint8Array(rows * columns);
        unpackColumns(readWords(qweight), bits, rows, columns, codes);
        return codes;
      },
      scales: () => transposeFloats(readFloats(scales), groups, rows),
      zeroPoints: () => zeroPointsOf(readWords(qzeros), bits, rows, groups, options),
      groupOf: () => gIdx && groupsOf(parts, gIdx, groups, groupSize),
    };
  });
}

/** What divides the inputs into so many groups: what the configuration says, if it does. */
export function groupSizeOf(columns: number, groups: number, configured: number): number | undefined {
  const size = configured < 1 ? columns : configured;
  if (Math.ceil(columns / size) === groups) return size;
  return groups > 0 && columns % groups === 0 ? columns / groups : undefined;
}

/** [outputs × groups] */
function zeroPointsOf(
  words: Uint32Array,
  bits: number,
  rows: number,
  groups: number,
  options: GptqOptions,
): Uint16Array {
  const middle = 1 << (bits - 1);
  const rowWords = wordCount(rows, bits);
  const stored = new Uint8Array(groups * rows);
  const { perWord, added } = correction(options, bits);
  const source = perWord > 0 ? words.map((word) => word + perWord) : words;
  for (let group = 0; group < groups; group++) {
    unpackStream(source, group * rowWords, 1, bits, stored, group * rows, rows);
  }
  const zeroPoints = new Uint16Array(rows * groups);
  if (options.symmetric && (stored.every((zero) => zero === middle) || stored.every((zero) => zero === middle - 1))) {
    return zeroPoints.fill(middle);
  }
  const mask = (1 << bits) - 1;
  for (let group = 0; group < groups; group++) {
    for (let row = 0; row < rows; row++) {
      zeroPoints[row * groups + group] = ((stored[group * rows + row] as number) + added) & mask;
    }
  }
  return zeroPoints;
}

/** What has to be added to the stored words and to the fields in them. A borrow through a word is undone by a carry. */
function correction(options: GptqOptions, bits: number): { readonly perWord: number; readonly added: number } {
  if (options.zeroPoints === 'plain') return { perWord: 0, added: 0 };
  const borrowed = options.zeroPoints === 'less-one-per-word' && 32 % bits === 0;
  return borrowed ? { perWord: Math.floor(0xffffffff / ((1 << bits) - 1)), added: 0 } : { perWord: 0, added: 1 };
}

/** The group of each input, unless the groups are simply runs of inputs. */
export function groupsOf(
  parts: TensorParts,
  tensor: TensorInfo,
  groups: number,
  groupSize: number,
): Int32Array | undefined {
  const groupOf = new Int32Array(readWords(tensor).buffer);
  const wrong = groupOf.find((group) => group < 0 || group >= groups);
  if (wrong !== undefined) parts.fail(tensor, `names group ${wrong} of ${groups}`);
  return groupOf.every((group, input) => group === Math.floor(input / groupSize)) ? undefined : groupOf;
}
