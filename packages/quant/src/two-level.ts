import { groupError, type Grid, type GroupParameters } from './grid.ts';
import { fround } from './half.ts';

/** Multipliers are stored in 4 bits, less one. */
const LARGEST = 16;

/**
 * The multiplier of the row's scale that fits a group best, among those near the group's own scale; for `asym` together with the
 * zero point. `group` holds the group's own grid and is given the chosen one.
 */
export function fitMultiplier(
  grid: Grid,
  rowScale: number,
  weights: Float32Array,
  begin: number,
  end: number,
  group: GroupParameters,
  importance?: Float32Array,
  column = 0,
): number {
  if (rowScale === 0) return 1;
  const maxCode = 2 ** grid.bits - 1;
  const near = Math.round(Math.abs(group.scale) / rowScale);
  const bottom = -group.scale * group.zeroPoint;
  const trial: GroupParameters = { scale: 0, zeroPoint: group.zeroPoint, minimum: 0 };
  let best = Math.max(1, Math.min(LARGEST, near));
  let least = Infinity;
  for (let multiplier = Math.max(1, near - 2); multiplier <= Math.min(LARGEST, near + 2); multiplier++) {
    trial.scale = fround(rowScale * multiplier);
    const zero = -bottom / trial.scale;
    const candidates = grid.scheme === 'asym' ? new Set([Math.floor(zero), Math.ceil(zero)]) : [group.zeroPoint];
    for (const zeroPoint of candidates) {
      trial.zeroPoint = Math.max(0, Math.min(maxCode, zeroPoint));
      const error = groupError(maxCode, trial, weights, begin, end, importance, column);
      if (error >= least) continue;
      least = error;
      best = multiplier;
      group.zeroPoint = trial.zeroPoint;
    }
  }
  group.scale = fround(rowScale * best);
  return best;
}
