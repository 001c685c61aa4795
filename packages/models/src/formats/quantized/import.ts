import {
  dequantizeLinear,
  dequantizeLinearAsync,
  importLinear,
  importLinearAsync,
  packMatrix,
  type ImportedMatrix,
  type MatrixDescription,
  type PackedDescription,
  type PackedFormat,
  type ScatteredGroups,
  type StoredCodes,
  type StoredLinear,
} from '@llm/tensor';

import { largestDifference } from '../../compare-matrix.ts';
import { halfMatrix } from '../../dense-matrix.ts';
import type { WeightImport } from '../../weight-import.ts';
import { groupCount, loadCodes, piecesOfLinear, type QuantizedLinear, type StoredFields } from './linear.ts';
import { readWords } from './tensor-parts.ts';

/** The code of weight 0 of `int8`. */
const INT8_ZERO = 128;

/** What a linear becomes. */
export type LinearDescription = PackedDescription | DenseDescription;

interface DenseDescription extends MatrixDescription {
  readonly format: 'f16';
}

/** The packed grid that holds the codes of a linear as they are, or float16. Looks at all zero points and groups. */
export function describeLinear(linear: QuantizedLinear): LinearDescription {
  return packedDescription(linear) ?? { format: 'f16', rows: linear.rows, columns: linear.columns };
}

/** How a linear becomes the matrix of `describeLinear`. */
export function importOfLinear(linear: QuantizedLinear, description: LinearDescription): WeightImport {
  const { stored, info } = linear;
  const values = (): Iterable<Float32Array> => piecesOfLinear(linear);
  const weight = { from: info.dtype, description, values };
  const packed = description.format === 'f16' ? undefined : description;
  if (!stored) {
    const now = (): ImportedMatrix => fieldByField(linear, packed, values);
    return { ...weight, now, later: () => Promise.resolve(now()) };
  }
  if (packed) {
    const source = sourceOf(linear, stored, packed.format.endsWith('-asym'));
    return { ...weight, now: () => importLinear(packed, source), later: () => importLinearAsync(packed, source) };
  }
  const { rows, columns } = linear;
  const [codes, groups] = [codesOf(linear, stored), scattered(linear)];
  return {
    ...weight,
    now: () => dequantizeLinear(rows, columns, codes, groups),
    later: () => dequantizeLinearAsync(rows, columns, codes, groups),
  };
}

/** The packed grid that holds the codes as they are; undefined where there is none. */
function packedDescription(linear: QuantizedLinear): PackedDescription | undefined {
  const { rows, columns, groupSize } = linear;
  const sound = groupSize >= columns || (groupSize % 8 === 0 && groupSize <= 1024);
  const format = sound && !linear.groupOf() ? packedFormat(linear) : undefined;
  return format && { format, rows, columns, groupSize: Math.min(groupSize, columns) };
}

function packedFormat(linear: QuantizedLinear): PackedFormat | undefined {
  const { bits, stored } = linear;
  // Up to 7 bits, a code less its zero point has 8 bits.
  if (!stored) return bits < 8 ? 'int8' : undefined;
  const symmetric = isSymmetric(linear, stored);
  switch (bits) {
    case 2:
      return symmetric ? 'int2-sym' : 'int2-asym';
    case 3:
      return symmetric ? 'int3-sym' : 'int3-asym';
    case 4:
      return symmetric ? 'int4-sym' : 'int4-asym';
    default:
      return symmetric ? 'int8' : undefined;
  }
}

/** Whether all zero points are the middle of the grid. Equal words are the usual way to say so, and quickly found. */
function isSymmetric(linear: QuantizedLinear, { zeroPoints }: StoredFields): boolean {
  if (!zeroPoints) return true;
  const middle = 1 << (linear.bits - 1);
  if (32 % linear.bits === 0) {
    const words = readWords(zeroPoints.tensor);
    const first = words[0] as number;
    if (words.some((word) => word !== first)) return false;
  }
  return linear.zeroPoints().every((zero) => zero === middle);
}

function sourceOf(linear: QuantizedLinear, stored: StoredFields, asymmetric: boolean): StoredLinear {
  const { scales, zeroPoints } = stored;
  const { storage, offset, dtype } = scales.tensor;
  const type = dtype === 'F16' || dtype === 'BF16' ? dtype : 'F32';
  return {
    codes: codesOf(linear, stored),
    scales: { storage, offset, type, byRow: scales.byRow },
    ...(asymmetric &&
      zeroPoints && {
        zeroPoints: {
          ...{ storage: zeroPoints.tensor.storage, offset: zeroPoints.tensor.offset, order: zeroPoints.order },
          ...{ addedToWords: zeroPoints.addedToWords ?? 0, addedToFields: zeroPoints.addedToFields ?? 0 },
        },
      }),
  };
}

function codesOf({ bits }: QuantizedLinear, { codes }: StoredFields): StoredCodes {
  return { storage: codes.tensor.storage, offset: codes.tensor.offset, order: codes.order, bits };
}

function scattered(linear: QuantizedLinear): ScatteredGroups {
  const { columns, groupSize } = linear;
  return {
    groupOf: linear.groupOf() ?? Int32Array.from({ length: columns }, (_, input) => Math.floor(input / groupSize)),
    scales: linear.scales(),
    zeroPoints: Uint8Array.from(linear.zeroPoints()),
  };
}

/** Fields that only plain code reads. */
function fieldByField(
  linear: QuantizedLinear,
  packed: PackedDescription | undefined,
  values: () => Iterable<Float32Array>,
): ImportedMatrix {
  const { rows, columns, groupSize } = linear;
  const groups = groupCount(linear);
  const { codes, scales, zeroPoints } = loadCodes(linear);
  if (packed) {
    for (let i = 0; i < codes.length; i++) {
      const group = Math.floor(i / columns) * groups + Math.floor((i % columns) / groupSize);
      codes[i] = (codes[i] as number) - (zeroPoints[group] as number) + INT8_ZERO;
    }
  }
  const matrix = packed ? packMatrix(packed, { codes, scales }) : halfMatrix(rows, columns, values);
  return { matrix, largestError: largestDifference(matrix, values()) };
}
