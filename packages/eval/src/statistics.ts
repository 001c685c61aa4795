/** A value and its standard error; the error is undefined where one document cannot tell. */
export interface Estimate {
  readonly value: number;
  readonly standardError: number | undefined;
}

/** The mean with sqrt(sample variance / n). */
export function meanOf(values: readonly number[]): Estimate {
  const n = values.length;
  const mean = values.reduce((total, value) => total + value, 0) / n;
  if (n < 2) return { value: mean, standardError: undefined };
  const variance = values.reduce((total, value) => total + (value - mean) ** 2, 0) / (n - 1);
  return { value: mean, standardError: Math.sqrt(variance / n) };
}

/** exp(-mean); its error by the delta method, value x the error of the mean. */
export function perplexityOf(logProbabilities: readonly number[]): Estimate {
  const { value, standardError } = meanOf(logProbabilities);
  const perplexity = Math.exp(-value);
  return { value: perplexity, standardError: standardError === undefined ? undefined : perplexity * standardError };
}

/** sum / sum of weights, and the error of that ratio over documents (Cochran, Sampling Techniques, 6.4). */
export function ratioOf(values: readonly number[], weights: readonly number[]): Estimate {
  const n = values.length;
  const weight = weights.reduce((total, w) => total + w, 0);
  const ratio = values.reduce((total, value) => total + value, 0) / weight;
  if (n < 2) return { value: ratio, standardError: undefined };
  const residual = values.reduce((total, value, i) => total + (value - ratio * (weights[i] ?? 0)) ** 2, 0);
  return { value: ratio, standardError: Math.sqrt((n * residual) / (n - 1)) / weight };
}

/** What paired documents say about the difference of two models' accuracies. */
export interface PairedDifference {
  /** candidate - baseline. */
  readonly difference: number;
  readonly standardError: number;
  /** Documents that only the baseline got right, and only the candidate. */
  readonly lost: number;
  readonly won: number;
}

/** The difference of means over the same documents; far less noisy than the difference of two scores. */
export function pairedDifference(baseline: readonly number[], candidate: readonly number[]): PairedDifference {
  if (baseline.length !== candidate.length) throw new RangeError('paired scores must be of the same documents');
  const differences = candidate.map((value, i) => value - (baseline[i] ?? Number.NaN));
  const { value, standardError } = meanOf(differences);
  return {
    difference: value,
    standardError: standardError ?? Number.POSITIVE_INFINITY,
    lost: differences.filter((d) => d < 0).length,
    won: differences.filter((d) => d > 0).length,
  };
}
