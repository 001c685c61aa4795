import type { FieldOrder } from '@llm/tensor';

import type { TensorInfo } from '../../checkpoint.ts';
import { rowPieces } from '../../row-pieces.ts';

/** A weight of a linear on an integer grid: w[o][i] = scale[o][g] (code[o][i] - zero[o][g]), g the group of input i. */
export interface QuantizedCodes {
  readonly bits: number;
  readonly rows: number;
  readonly columns: number;
  /** Inputs of a group; the last group of a row may be shorter. */
  readonly groupSize: number;
  /** [rows × columns], unsigned. */
  readonly codes: Uint8Array;
  /** [rows × groups] */
  readonly scales: Float32Array;
  /** [rows × groups]; may be one more than the largest code. */
  readonly zeroPoints: Uint16Array;
  /** The group of each input where groups are not runs of inputs (act-order). */
  readonly groupOf?: Int32Array;
}

/** Where the fields of such a weight lie, for native code. */
export interface StoredFields {
  readonly codes: { readonly tensor: TensorInfo; readonly order: FieldOrder };
  readonly scales: { readonly tensor: TensorInfo; readonly byRow: boolean };
  /** Undefined where they are the middle of the grid. */
  readonly zeroPoints:
    | {
        readonly tensor: TensorInfo;
        readonly order: FieldOrder;
        readonly addedToWords?: number;
        readonly addedToFields?: number;
      }
    | undefined;
}

/** Such a weight in a checkpoint. */
export interface QuantizedLinear extends Pick<QuantizedCodes, 'bits' | 'rows' | 'columns' | 'groupSize'> {
  /** With the name and the shape of the weight, and the place of its codes. */
  readonly info: TensorInfo;
  /** Undefined where fields are stored in a way that only the methods below read. */
  readonly stored: StoredFields | undefined;
  /** [rows × groups] */
  zeroPoints(): Uint16Array;
  /** [rows × groups] */
  scales(): Float32Array;
  /** The group of each input where groups are no runs of inputs. */
  groupOf(): Int32Array | undefined;
  /** [rows × columns] */
  codes(): Uint8Array;
}

/** A linear as plain arrays. */
export function loadCodes(linear: QuantizedLinear): QuantizedCodes {
  const { bits, rows, columns, groupSize } = linear;
  const groupOf = linear.groupOf();
  return {
    ...{ bits, rows, columns, groupSize },
    ...{ codes: linear.codes(), scales: linear.scales(), zeroPoints: linear.zeroPoints() },
    ...(groupOf && { groupOf }),
  };
}

/** How many groups a row has. */
export function groupCount({ columns, groupSize }: Pick<QuantizedCodes, 'columns' | 'groupSize'>): number {
  return Math.ceil(columns / groupSize);
}

/** Rows [begin, end) as float32. */
export function dequantizeRows(linear: QuantizedCodes, begin: number, end: number): Float32Array {
  const { columns, groupSize, codes, scales, zeroPoints, groupOf } = linear;
  const groups = groupCount(linear);
  const out = new Float32Array((end - begin) * columns);
  for (let row = begin; row < end; row++) {
    for (let column = 0; column < columns; column++) {
      const group = row * groups + (groupOf ? (groupOf[column] as number) : Math.floor(column / groupSize));
      const code = (codes[row * columns + column] as number) - (zeroPoints[group] as number);
      out[(row - begin) * columns + column] = (scales[group] as number) * code;
    }
  }
  return out;
}

/** The values of a stored linear, from plain arrays. */
export function* piecesOfLinear(linear: QuantizedLinear): Iterable<Float32Array> {
  const codes = loadCodes(linear);
  for (const [begin, end] of rowPieces(linear.rows, linear.columns)) yield dequantizeRows(codes, begin, end);
}
