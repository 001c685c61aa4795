import { InvalidOptionError, releaseArrays, ShapeMismatchError } from '@llm/tensor';
import type { InputStatistics } from '../calibration/statistics.ts';
import { groupLength, type Grid } from '../grid.ts';
import { checkWeights } from '../quantized-matrix.ts';
import { quadraticForms } from './output-error.ts';
import { scaledRoundingErrors } from './round-to-nearest.ts';

/** One linear of several that read the same input. */
export interface ScaledLayer {
  /** [rows, columns] */
  readonly weights: Float32Array;
  readonly grid: Grid;
  readonly name?: string;
}

/** Options of {@link searchScale}. */
export interface ScaleSearchOptions {
  /** The factor of each column, where several columns share one (grouped queries). Default: one each. */
  readonly columns?: Int32Array;
  /** Exponents that are tried, from just above 0 to 1. Default 10. */
  readonly steps?: number;
}

export interface ScaleCandidate {
  /** One per factor; the input is divided by it and the weights are multiplied. */
  readonly factors: Float32Array;
  /** Sum of tr(ΔGΔᵀ) over the layers. */
  readonly error: number;
}

/** Below this a mean counts as nothing. */
const TINY = 1e-8;
const SMALLEST_FACTOR = 1e-4;

/**
 * AWQ's scale search (Lin et al. 2023) through the Gram matrix: which factor per input channel makes rounding the scaled weights
 * cost the layers' outputs least. Candidates are powers of the mean magnitude of the inputs, alone and divided by those of the
 * weights; all ones is always among them. Exact for every single layer, over all tokens.
 *
 * @returns candidates, the best first; all ones is where it belongs among them
 */
export async function searchScale(
  layers: readonly ScaledLayer[],
  statistics: InputStatistics,
  options: ScaleSearchOptions = {},
): Promise<ScaleCandidate[]> {
  const { columns: count, gram, meanAbsolute } = statistics;
  const { columns = Int32Array.from({ length: count }, (_, c) => c), steps = 10 } = options;
  if (!Number.isInteger(steps) || steps < 1) throw new InvalidOptionError('steps', String(steps), ['1 or more']);
  if (columns.length !== count) throw new ShapeMismatchError(`${columns.length} factors for ${count} columns.`);
  const inputs = perFactor(meanAbsolute, columns);
  const weights = perFactor(meanRelativeWeight(layers, count), columns);
  const identity = new Float32Array(inputs.length).fill(1);
  const trials: Float32Array[] = [identity];
  for (let step = 1; step <= steps; step++) {
    const power = step / steps;
    trials.push(normalised(inputs.map((x) => x ** power)));
    if (step < steps)
      trials.push(normalised(inputs.map((x, i) => x ** power / ((weights[i] as number) ** (1 - power) + 1e-4))));
  }
  const candidates = trials.map((factors) => ({ factors, error: 0 }));
  for (const { weights, grid, name = 'weights' } of layers) {
    checkWeights(weights, count, name);
    const errors = new Float32Array(weights.length);
    for (const candidate of candidates) {
      await scaledRoundingErrors(weights, factorOfColumns(candidate.factors, columns), grid, name, errors);
      // tr(ΔGΔᵀ)
      for (const error of await quadraticForms(errors, gram, count)) candidate.error += error;
    }
    releaseArrays(errors);
  }
  // Stable, so that all ones wins where nothing is better.
  return candidates.toSorted((a, b) => a.error - b.error);
}

/** A layer's weights whose columns are scaled, rounded and scaled back. */
export async function roundScaled(
  { weights, grid, name = 'weights' }: ScaledLayer,
  factors: Float32Array,
  columns: Int32Array,
): Promise<Float32Array> {
  const rounded = new Float32Array(weights.length);
  await scaledRoundingErrors(weights, factorOfColumns(factors, columns), grid, name, rounded);
  for (let i = 0; i < weights.length; i++) rounded[i] = (weights[i] as number) - (rounded[i] as number);
  return rounded;
}

function factorOfColumns(factors: Float32Array, columns: Int32Array): Float32Array {
  return Float32Array.from(columns, (factor) => factors[factor] as number);
}

/** Mean over all rows of |w| relative to the largest of its group. */
function meanRelativeWeight(layers: readonly ScaledLayer[], columns: number): Float64Array {
  const sums = new Float64Array(columns);
  let rows = 0;
  for (const { weights, grid } of layers) {
    const length = groupLength(grid, columns);
    rows += weights.length / columns;
    for (let start = 0; start < weights.length; start += columns)
      for (let begin = 0; begin < columns; begin += length) {
        const end = Math.min(begin + length, columns);
        let largest = TINY;
        for (let c = begin; c < end; c++) largest = Math.max(largest, Math.abs(weights[start + c] as number));
        for (let c = begin; c < end; c++)
          sums[c] = (sums[c] as number) + Math.abs(weights[start + c] as number) / largest;
      }
  }
  return sums.map((sum) => Math.max(TINY, sum / rows));
}

/** The mean of a value per column over the columns of each factor. */
function perFactor(values: ArrayLike<number>, columns: Int32Array): Float64Array {
  const factors = columns.reduce((top, factor) => Math.max(top, factor), -1) + 1;
  const sums = new Float64Array(factors);
  const counts = new Float64Array(factors);
  columns.forEach((factor, c) => {
    sums[factor] = (sums[factor] as number) + (values[c] as number);
    counts[factor] = (counts[factor] as number) + 1;
  });
  return sums.map((sum, factor) => Math.max(TINY, sum / (counts[factor] as number)));
}

/** Centred around 1 geometrically, positive and finite. */
function normalised(factors: Float64Array): Float32Array {
  const largest = factors.reduce((a, b) => Math.max(a, b), 0);
  const smallest = factors.reduce((a, b) => Math.min(a, b), Infinity);
  const middle = Math.sqrt(largest * smallest);
  return Float32Array.from(factors, (factor) => {
    const value = factor / middle;
    return Number.isFinite(value) ? Math.max(SMALLEST_FACTOR, value) : 1;
  });
}

/**
 * The statistics of an input that is divided by a factor per column. The Gram matrix is the same array, changed: copies of all of a
 * block would be as large as the block.
 */
export function scaledStatistics(statistics: InputStatistics, factors: ArrayLike<number>): InputStatistics {
  const { gram } = statistics;
  const inverse = Float64Array.from(factors, (factor) => 1 / factor);
  const scale = (values: Float32Array, power: number): Float32Array =>
    values.map((value, c) => value * (inverse[c] as number) ** power);
  const count = inverse.length;
  for (let i = 0; i < count; i++) {
    const [begin, factor] = [i * count, inverse[i] as number];
    for (let j = 0; j < count; j++) gram[begin + j] = (gram[begin + j] as number) * factor * (inverse[j] as number);
  }
  return {
    ...statistics,
    meanAbsolute: scale(statistics.meanAbsolute, 1),
    meanSquare: scale(statistics.meanSquare, 2),
  };
}
