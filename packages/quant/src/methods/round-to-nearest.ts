import { fakeQuantize, roundingErrors } from '@llm/tensor';
import { groupLength, type Grid } from '../grid.ts';
import { checkWeights, dequantizeMatrix, quantizeMatrix } from '../quantized-matrix.ts';

/** Weights [rows, columns] rounded to nearest and back, natively where the grid is one that the native rounding has. */
export async function roundToNearest(
  weights: Float32Array,
  columns: number,
  grid: Grid,
  name = 'weights',
): Promise<Float32Array> {
  const rows = weights.length / columns;
  if (roundsNatively(grid)) {
    const { bits, scheme } = grid;
    checkWeights(weights, columns, name);
    return fakeQuantize({ rows, columns, weights, bits, scheme, groupSize: groupLength(grid, columns) });
  }
  return dequantizeMatrix(quantizeMatrix(weights, rows, columns, grid, { name }));
}

/**
 * What rounding to nearest takes from weights [rows, columns] whose columns are multiplied by a factor each before and divided by it after:
 * w - w'.
 * @param weights - finite
 * @param out - where the errors go
 */
export async function scaledRoundingErrors(
  weights: Float32Array,
  factors: Float32Array,
  grid: Grid,
  name: string,
  out: Float32Array,
): Promise<void> {
  const columns = factors.length;
  const rows = weights.length / columns;
  if (roundsNatively(grid)) {
    const { bits, scheme } = grid;
    const groupSize = groupLength(grid, columns);
    await roundingErrors({ rows, columns, weights, bits, scheme, groupSize, columnScale: factors, out });
    return;
  }
  for (let begin = 0; begin < weights.length; begin += columns)
    for (let c = 0; c < columns; c++) out[begin + c] = (weights[begin + c] as number) * (factors[c] as number);
  const rounded = dequantizeMatrix(quantizeMatrix(out, rows, columns, grid, { name }));
  for (let begin = 0; begin < weights.length; begin += columns)
    for (let c = 0; c < columns; c++)
      out[begin + c] = (weights[begin + c] as number) - (rounded[begin + c] as number) / (factors[c] as number);
}

/** Whether native code has the grid: scales of single groups, and no free minimum. */
export function roundsNatively(grid: Grid): grid is Grid & { readonly scheme: 'sym' | 'asym' } {
  return grid.scheme !== 'min' && grid.scales !== 'two-level';
}
