/** A model to be judged: the untouched source, or a candidate's folder. */
export interface EvaluationTarget {
  readonly path: string;
  readonly kind: 'baseline' | 'candidate';
}

export interface EvaluationRequest {
  /**
   * How many documents are enough for now, always the first ones; the tuner asks for more where they do not decide. An
   * evaluation that cannot be cut may ignore it.
   */
  readonly documents: number | 'all';
  readonly signal?: AbortSignal;
}

/** What an evaluation found. */
export interface Evaluation {
  readonly score: number;
  /** Default true. Perplexity is one that is not. */
  readonly higherIsBetter?: boolean;
  /** The score of each document, in order: lets candidates be compared on the same documents, with far less noise. */
  readonly documents?: readonly number[];
  /** Whether every document there is was scored. Default true. */
  readonly complete?: boolean;
}

/** Judges a model; given by the caller, so that any measure of accuracy will do. */
export type Evaluate = (target: EvaluationTarget, request: EvaluationRequest) => Promise<Evaluation>;

/** Whether a candidate is within tolerance. */
export type Verdict = 'pass' | 'fail' | 'undecided';

/** One-sided 90 % quantile of the normal distribution. */
const z90 = 1.2816;

/**
 * Compares a candidate with the baseline. On the same documents, paired: the difference has a standard error of about
 * sqrt(changed documents) / n, where two separate scores would have several times that. While documents are left, a verdict
 * needs the one-sided 90 % bound of the difference to lie on one side of the tolerance; with all, the difference itself decides.
 *
 * @param tolerance - the relative loss that is acceptable: 0.01 for 1 %
 */
export function judge(baseline: Evaluation, candidate: Evaluation, tolerance: number): Verdict {
  if (!Number.isFinite(candidate.score)) return 'fail';
  const sign = (baseline.higherIsBetter ?? true) ? 1 : -1;
  const n = Math.min(baseline.documents?.length ?? 0, candidate.documents?.length ?? 0);
  const complete = candidate.complete ?? true;

  if (n < 2 || !baseline.documents || !candidate.documents) {
    const loss = sign * (baseline.score - candidate.score);
    return loss <= tolerance * Math.abs(baseline.score) ? 'pass' : 'fail';
  }

  const differences: number[] = [];
  let baselineSum = 0;
  for (let i = 0; i < n; i++) {
    differences.push(sign * (candidate.documents[i]! - baseline.documents[i]!));
    baselineSum += baseline.documents[i]!;
  }
  const mean = differences.reduce((sum, d) => sum + d, 0) / n;
  const threshold = -tolerance * Math.abs(baselineSum / n);
  if (complete) return mean >= threshold ? 'pass' : 'fail';

  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (n - 1);
  // No document changed says little about those to come: count half a change, as rules of succession do.
  const error = Math.sqrt(Math.max(variance, 0.5 / n) / n);
  if (mean - z90 * error >= threshold) return 'pass';
  if (mean + z90 * error < threshold) return 'fail';
  return 'undecided';
}

/** Relative loss of a candidate on the documents that both were scored on; negative where it is better than the baseline. */
export function relativeLoss(baseline: Evaluation, candidate: Evaluation): number {
  const sign = (baseline.higherIsBetter ?? true) ? 1 : -1;
  const n = candidate.documents?.length ?? 0;
  const partial = candidate.complete === false && n > 0 && baseline.documents !== undefined;
  // A score of the first documents says nothing beside one of all.
  const reference = partial ? meanOf(baseline.documents.slice(0, n)) : baseline.score;
  const score = partial ? meanOf(candidate.documents!.slice(0, n)) : candidate.score;
  return (sign * (reference - score)) / Math.max(Math.abs(reference), Number.MIN_VALUE);
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
