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

/** Bytes are handed out in pieces of this size. */
export const PIECE_BYTES: number = 1 << 22;

/** The bytes of a matrix; each piece takes the place of the one before. */
export function* bytesOfMatrix(matrix: Matrix): Iterable<Uint8Array> {
  const { byteLength } = matrix;
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, byteLength));
  for (let done = 0; done < byteLength; done += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, byteLength - done));
    matrix.readInto(piece, done);
    yield piece;
  }
}
