import type { Matrix } from '@llm/tensor';

import { dequantizeRows, loadCodes, type QuantizedLinear } from './linear.ts';

/** Values are handed out in pieces of about so many. */
const PIECE_VALUES = 1 << 20;

/** The values of a stored linear, from plain arrays. */
export function* piecesOfLinear(linear: QuantizedLinear): Iterable<Float32Array> {
  const codes = loadCodes(linear);
  for (const [begin, end] of steps(linear)) yield dequantizeRows(codes, begin, end);
}

/** The values of a matrix. */
export function* piecesOfMatrix(matrix: Matrix): Iterable<Float32Array> {
  for (const [begin, end] of steps(matrix)) yield matrix.toFloat32(begin, end);
}

function* steps({ rows, columns }: { rows: number; columns: number }): Iterable<[begin: number, end: number]> {
  const step = Math.max(1, Math.floor(PIECE_VALUES / columns));
  for (let row = 0; row < rows; row += step) yield [row, Math.min(rows, row + step)];
}
