import { groupCount } from '../grid.ts';
import type { QuantizedMatrix } from '../quantized-matrix.ts';

/**
 * Replaces the rows of `matrix` that another quantization of the same grid does better, and their errors.
 * @returns how many
 */
export function keepBetterRows(
  matrix: QuantizedMatrix,
  errors: Float64Array,
  other: QuantizedMatrix,
  otherErrors: Float64Array,
): number {
  const groups = groupCount(matrix.grid, matrix.columns);
  let kept = 0;
  for (let row = 0; row < matrix.rows; row++) {
    if ((errors[row] as number) <= (otherErrors[row] as number)) continue;
    kept++;
    errors[row] = otherErrors[row] as number;
    copyRow(matrix.codes, other.codes, row, matrix.columns);
    copyRow(matrix.scales, other.scales, row, groups);
    copyRow(matrix.zeroPoints, other.zeroPoints, row, groups);
    copyRow(matrix.minima, other.minima, row, groups);
    copyRow(matrix.multipliers, other.multipliers, row, groups);
    copyRow(matrix.rowScales, other.rowScales, row, 1);
  }
  return kept;
}

function copyRow<Values extends Uint8Array | Float32Array>(
  to: Values | undefined,
  from: Values | undefined,
  row: number,
  width: number,
): void {
  if (to && from) to.set(from.subarray(row * width, (row + 1) * width), row * width);
}
