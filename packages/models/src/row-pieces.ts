import type { Matrix } from '@llm/tensor';

/** Values are handed out in pieces of about so many. */
const PIECE_VALUES = 1 << 20;

/** Cuts rows into runs of bounded size. */
export function* rowPieces(rows: number, columns: number): Iterable<[begin: number, end: number]> {
  const step = Math.max(1, Math.floor(PIECE_VALUES / columns));
  for (let row = 0; row < rows; row += step) yield [row, Math.min(rows, row + step)];
}

/** The values of a matrix. */
export function* piecesOfMatrix(matrix: Matrix): Iterable<Float32Array> {
  for (const [begin, end] of rowPieces(matrix.rows, matrix.columns)) yield matrix.toFloat32(begin, end);
}
