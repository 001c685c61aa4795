import { fitRange, groupError, type Grid, type GroupParameters } from './grid.ts';

/** Which ranges a clip search tries, as ratios of the range of the group. */
export interface ClipSearch {
  /** The smallest ratio; default 0.6 for 4 bits and more, 0.35 for 3, 0.2 for 2. */
  readonly lowest?: number;
  /** The largest; above 1 because a slightly wider grid can round better. Default 1.1. */
  readonly highest?: number;
  /** How many ratios between the two. Default 24. */
  readonly steps?: number;
}

/** The ratios of a search; the range as it is comes first, so that a search never ends worse than without. */
export function clipRatios(bits: number, search: ClipSearch = {}): number[] {
  const lowest = search.lowest ?? (bits >= 4 ? 0.6 : bits === 3 ? 0.35 : 0.2);
  const highest = search.highest ?? 1.1;
  const steps = search.steps ?? 24;
  const ratios = Array.from({ length: steps }, (_, i) => highest - ((highest - lowest) * i) / Math.max(1, steps - 1));
  return [1, ...ratios.filter((ratio) => ratio !== 1)];
}

/**
 * Fits the grid with the least squared error to a group, among the ratios given and both signs of a full-range symmetric scale.
 * `importance` weights the elements (the mean square of each input channel makes it the error of the layer's output).
 */
export function fitGroupBySearch(
  grid: Grid,
  ratios: readonly number[],
  weights: Float32Array,
  begin: number,
  end: number,
  out: GroupParameters,
  importance?: Float32Array,
  column = 0,
): void {
  let low = Infinity;
  let high = -Infinity;
  for (let i = begin; i < end; i++) {
    const w = weights[i] ?? 0;
    if (w < low) low = w;
    if (w > high) high = w;
  }
  const maxCode = 2 ** grid.bits - 1;
  const trial: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  let least = Infinity;
  const consider = (): void => {
    const error = groupError(maxCode, trial, weights, begin, end, importance, column);
    if (error < least) {
      least = error;
      out.scale = trial.scale;
      out.zeroPoint = trial.zeroPoint;
      out.minimum = trial.minimum;
    }
  };
  for (const ratio of ratios) {
    fitRange(grid, low, high, ratio, trial);
    consider();
    if (grid.scheme === 'sym' && trial.scale !== 0) {
      trial.scale = -trial.scale;
      consider();
    }
  }
}
