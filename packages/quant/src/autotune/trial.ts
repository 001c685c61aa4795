import type { Recipe } from '../recipe.ts';
import type { LayerReport } from '../report.ts';
import type { Evaluation, Verdict } from './evaluation.ts';

/** One recipe that was tried. */
export interface Trial {
  readonly name: string;
  readonly recipe: Recipe;
  /** Weights on disk, in bytes. */
  readonly bytes: number;
  /** Mean over layers of the relative weight error, weighted by size. */
  readonly weightError: number;
  readonly layers: readonly Pick<
    LayerReport,
    'weight' | 'bits' | 'groupSize' | 'compute' | 'relativeError' | 'bytesAfter'
  >[];
  readonly quantizeSeconds: number;
  /** Mean Kullback-Leibler divergence from the baseline, if it was asked for. */
  readonly divergence?: number;
  /** Undefined where a cheaper filter had sorted the candidate out. */
  readonly evaluation?: Evaluation;
  readonly evaluateSeconds?: number;
  readonly relativeLoss?: number;
  readonly verdict: Verdict | 'skipped';
  /** Why it was skipped. */
  readonly reason?: string;
  readonly millisecondsPerToken?: number;
}
