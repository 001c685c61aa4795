import type { Matrix } from '@llm/tensor';

/** The largest difference between a matrix and the values that it should have, given row by row in pieces of whole rows. */
export function largestDifference(matrix: Matrix, values: Iterable<Float32Array>): number {
  let largest = 0;
  let row = 0;
  for (const piece of values) {
    const end = row + piece.length / matrix.columns;
    const found = matrix.toFloat32(row, end);
    for (let i = 0; i < piece.length; i++) {
      const difference = Math.abs((found[i] as number) - (piece[i] as number));
      if (difference > largest) largest = difference;
    }
    row = end;
  }
  return largest;
}
