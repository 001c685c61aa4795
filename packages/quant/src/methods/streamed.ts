import { releaseArrays } from '@llm/tensor';
import type { MatrixError } from '../quantized-matrix.ts';
import { matrixError, quantizeMatrix } from '../quantized-matrix.ts';
import type { LayerPlan } from '../recipe.ts';
import type { QuantizationRun } from '../run.ts';
import type { Target } from '../targets.ts';
import { hqq } from './hqq.ts';

/** Rows are quantized, packed and written in parts of about so many weights, whole blocks of 32 rows each. */
const PART_WEIGHTS = 2 ** 21;
const BLOCK_ROWS = 32;

/** Quantizes one weight by itself, a part of its rows at a time. */
export async function quantizeStreamed(run: QuantizationRun, target: Target, plan: LayerPlan): Promise<void> {
  const { weight, rows, columns } = target;
  const weights = run.checkpoint.read(weight);
  const step = Math.max(BLOCK_ROWS, Math.floor(PART_WEIGHTS / columns / BLOCK_ROWS) * BLOCK_ROWS);
  const total: { -readonly [Key in keyof MatrixError]: number } = { squaredError: 0, squaredNorm: 0 };
  let position = 0;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    const part = weights.subarray(row * columns, (row + count) * columns);
    const matrix =
      plan.method === 'hqq'
        ? hqq(part, count, columns, plan.grid, { name: weight })
        : quantizeMatrix(part, count, columns, plan.grid, { clipSearch: plan.clipSearch, name: weight });
    const error = matrixError(part, matrix);
    total.squaredError += error.squaredError;
    total.squaredNorm += error.squaredNorm;
    position += await run.writeRows(target, matrix, position);
    await run.advanceBy(weight, count / rows);
  }
  // Nobody else has it, and the collector would let those of a whole model wait.
  releaseArrays(weights);
  await run.finish(target, total);
}
