import type { TensorInfo } from '../../checkpoint.ts';
import { withShape } from '../../stored-file.ts';
import { unpackColumns, unpackStream, wordCount } from './bits.ts';
import type { QuantizedCodes, QuantizedLinear } from './linear.ts';
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
    const shape = { bits, rows, columns, groups, groupSize };
    return {
      info: withShape(qweight, [rows, columns], `GPTQ ${bits} bit`, `${stem}.weight`),
      load: () => load(parts, shape, { qweight, qzeros, scales, gIdx }, options),
    };
  });
}

interface Shape {
  readonly bits: number;
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  readonly groupSize: number;
}

function load(
  parts: TensorParts,
  { bits, rows, columns, groups, groupSize }: Shape,
  tensors: { qweight: TensorInfo; qzeros: TensorInfo; scales: TensorInfo; gIdx: TensorInfo | undefined },
  options: GptqOptions,
): QuantizedCodes {
  const codes = new Uint8Array(rows * columns);
  const words = readWords(tensors.qweight);
  unpackColumns(words, bits, rows, columns, codes);
  const zeroPoints = zeroPointsOf(readWords(tensors.qzeros), bits, rows, groups, options);
  const scales = transposeFloats(readFloats(tensors.scales), groups, rows);
  const groupOf = tensors.gIdx && actOrder(parts, tensors.gIdx, groups, groupSize);
  return { bits, rows, columns, groupSize, codes, scales, zeroPoints, ...(groupOf && { groupOf }) };
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
  // A borrow that ran through the fields of a word is undone by adding one to each at once.
  const perWord = options.zeroPoints === 'less-one-per-word' && 32 % bits === 0;
  const ones = perWord ? Math.floor(0xffffffff / ((1 << bits) - 1)) : 0;
  const source = perWord ? words.map((word) => word + ones) : words;
  for (let group = 0; group < groups; group++) {
    unpackStream(source, group * rowWords, 1, bits, stored, group * rows, rows);
  }
  const zeroPoints = new Uint16Array(rows * groups);
  if (options.symmetric && (stored.every((zero) => zero === middle) || stored.every((zero) => zero === middle - 1))) {
    return zeroPoints.fill(middle);
  }
  const mask = (1 << bits) - 1;
  const added = options.zeroPoints === 'plain' || perWord ? 0 : 1;
  for (let group = 0; group < groups; group++) {
    for (let row = 0; row < rows; row++) {
      zeroPoints[row * groups + group] = ((stored[group * rows + row] as number) + added) & mask;
    }
  }
  return zeroPoints;
}

/** The group of each input, unless the groups are simply runs of inputs. */
function actOrder(parts: TensorParts, tensor: TensorInfo, groups: number, groupSize: number): Int32Array | undefined {
  const groupOf = new Int32Array(readWords(tensor).buffer);
  const wrong = groupOf.find((group) => group < 0 || group >= groups);
  if (wrong !== undefined) parts.fail(tensor, `names group ${wrong} of ${groups}`);
  return groupOf.every((group, input) => group === Math.floor(input / groupSize)) ? undefined : groupOf;
}
