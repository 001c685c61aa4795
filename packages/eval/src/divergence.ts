import { normalizer } from './normalizer.ts';
import type { Scorer } from './scorer.ts';
import { meanOf, type Estimate } from './statistics.ts';

/** How far a candidate's next-token distributions are from a baseline's, over the positions of a text. */
export interface Divergence {
  readonly positions: number;
  /** Kullback-Leibler divergence baseline || candidate, nats. */
  readonly meanKl: Estimate;
  readonly klPercentiles: Readonly<Record<'50' | '90' | '99' | '100', number>>;
  /** Share of positions where both have the same likeliest token. */
  readonly topOneAgreement: Estimate;
  /** Root of the mean squared difference of the probability given to the text's own next token. */
  readonly rmsProbabilityDifference: number;
  /** exp of the mean difference of log-probability of the text's tokens: perplexity(candidate) / perplexity(baseline). */
  readonly perplexityRatio: Estimate;
}

export interface DivergenceOptions {
  /** Tokens in a window; default 256, never more than either context. */
  readonly window?: number;
  /** Stop after this many positions; default all. */
  readonly positions?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/** Compares two models that share a vocabulary, window by window: both see the same tokens. */
export async function divergence(
  baseline: Scorer,
  candidate: Scorer,
  text: string | readonly number[],
  options: DivergenceOptions = {},
): Promise<Divergence> {
  if (baseline.vocabularySize !== candidate.vocabularySize)
    throw new RangeError(
      `the models have different vocabularies (${baseline.vocabularySize} and ${candidate.vocabularySize} tokens)`,
    );
  const tokens = typeof text === 'string' ? baseline.encode(text) : text;
  const window = Math.min(options.window ?? 256, baseline.contextLength, candidate.contextLength);
  const total = Math.min(options.positions ?? tokens.length, tokens.length);
  const comparison = new DivergenceAccumulator(baseline.vocabularySize);

  for (let begin = 0; begin + 1 < total; begin += window) {
    options.signal?.throwIfAborted();
    const part = tokens.slice(begin, Math.min(begin + window, total));
    const [p, q] = [await baseline.logits(part), await candidate.logits(part)];
    for (let i = 0; i + 1 < part.length; i++) comparison.add(p, q, i, part[i + 1] ?? 0);
    options.onProgress?.({ stage: 'divergence', done: Math.min(begin + window, total), total });
  }
  return comparison.result();
}

/** Adds up positions; for callers that have logits already. */
export class DivergenceAccumulator {
  readonly #vocabulary: number;
  readonly #kl: number[] = [];
  readonly #agreement: number[] = [];
  readonly #logDifference: number[] = [];
  #squaredProbability = 0;

  constructor(vocabularySize: number) {
    this.#vocabulary = vocabularySize;
  }

  /** Row `position` of both logits [positions x vocabulary]; `next` is the text's next token. */
  add(baseline: Float32Array, candidate: Float32Array, position: number, next: number): void {
    const p = baseline.subarray(position * this.#vocabulary, (position + 1) * this.#vocabulary);
    const q = candidate.subarray(position * this.#vocabulary, (position + 1) * this.#vocabulary);
    const a = normalizer(p);
    const b = normalizer(q);
    let kl = 0;
    for (let i = 0; i < p.length; i++) {
      const logP = (p[i] ?? 0) - a.log;
      kl += Math.exp(logP) * (logP - ((q[i] ?? 0) - b.log));
    }
    // Rounding can take equal distributions a hair below zero.
    this.#kl.push(Math.max(0, kl));
    this.#agreement.push(Number(a.likeliest === b.likeliest));
    const logP = (p[next] ?? 0) - a.log;
    const logQ = (q[next] ?? 0) - b.log;
    this.#logDifference.push(logP - logQ);
    this.#squaredProbability += (Math.exp(logQ) - Math.exp(logP)) ** 2;
  }

  result(): Divergence {
    const sorted = [...this.#kl].sort((x, y) => x - y);
    const percentile = (share: number) =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
    const ratio = meanOf(this.#logDifference);
    const value = Math.exp(ratio.value);
    return {
      positions: sorted.length,
      meanKl: meanOf(this.#kl),
      klPercentiles: { '50': percentile(0.5), '90': percentile(0.9), '99': percentile(0.99), '100': percentile(1) },
      topOneAgreement: meanOf(this.#agreement),
      rmsProbabilityDifference: Math.sqrt(this.#squaredProbability / sorted.length),
      perplexityRatio: { value, standardError: ratio.standardError && value * ratio.standardError },
    };
  }
}
