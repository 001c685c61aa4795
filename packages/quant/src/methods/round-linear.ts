import type { InputStatistics } from '../calibration/statistics.ts';
import { quantizeMatrix, type QuantizedMatrix } from '../quantized-matrix.ts';
import type { LayerPlan } from '../recipe.ts';
import type { LayerDetails } from '../run.ts';
import { quantizeByGram } from './gram-clip.ts';
import { gptq, type GptqOptions } from './gptq.ts';
import { hqq } from './hqq.ts';
import { quadraticForms, rowErrorsOf } from './output-error.ts';
import { keepBetterRows } from './row-guard.ts';

export interface RoundedLinear {
  readonly matrix: QuantizedMatrix;
  readonly details: LayerDetails;
}

/** Quantizes one weight [rows, columns] knowing its input, by the method of its plan. */
export async function roundLinear(
  weights: Float32Array,
  statistics: InputStatistics,
  plan: LayerPlan,
  name: string,
  options: GptqOptions = {},
): Promise<RoundedLinear> {
  const { columns, gram } = statistics;
  const { grid, clipSearch } = plan;
  const rows = weights.length / columns;
  const whole = sum(await quadraticForms(weights, gram, columns));
  const relative = (error: number): number => (whole === 0 ? 0 : error / whole);
  if (plan.method === 'gptq') {
    const found = await gptq(weights, gram, grid, { ...options, clipSearch, name });
    const { matrix, damping, guardedRows } = found;
    return {
      matrix,
      details: {
        outputError: relative(found.outputError),
        roundingError: relative(found.roundingError),
        guardedRows,
        ...(Number.isFinite(damping) && { damping }),
      },
    };
  }
  const plain = quantizeMatrix(weights, rows, columns, grid, { name });
  const plainErrors = await rowErrorsOf(plain, weights, gram);
  const roundingError = relative(sum(plainErrors));
  if (plan.method !== 'hqq' && clipSearch === false)
    return { matrix: plain, details: { outputError: roundingError, roundingError } };
  const matrix =
    plan.method === 'hqq'
      ? hqq(weights, rows, columns, grid, { name })
      : await quantizeByGram(weights, rows, columns, grid, gram, clipSearch === true ? {} : clipSearch || {}, name);
  // A search looks at one group at a time; together its choices can be worse than none, in a row here and there.
  const errors = await rowErrorsOf(matrix, weights, gram);
  const guardedRows = keepBetterRows(matrix, errors, plain, plainErrors);
  return { matrix, details: { outputError: relative(sum(errors)), roundingError, guardedRows } };
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
