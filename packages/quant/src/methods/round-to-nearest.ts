import { fakeQuantize } from '@llm/tensor';
import { groupLength, type Grid } from '../grid.ts';
import { checkWeights, dequantizeMatrix, quantizeMatrix } from '../quantized-matrix.ts';

/** Weights [rows, columns] rounded to nearest and back, natively where the grid is one that the native rounding has. */
export async function roundToNearest(
  weights: Float32Array,
  columns: number,
  grid: Grid,
  name = 'weights',
): Promise<Float32Array> {
  const { bits, scheme, scales } = grid;
  const rows = weights.length / columns;
  if (scheme !== 'min' && scales !== 'two-level') {
    checkWeights(weights, columns, name);
    return fakeQuantize({ rows, columns, weights, bits, scheme, groupSize: groupLength(grid, columns) });
  }
  return dequantizeMatrix(quantizeMatrix(weights, rows, columns, grid, { name }));
}
