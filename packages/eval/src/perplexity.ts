import type { Scorer } from './scorer.ts';
import { meanOf, type Estimate } from './statistics.ts';

/**
 * How a long text becomes windows. The conventions give different numbers: never compare across them.
 *
 * gptq       windows of 2048 tokens that do not overlap, the remainder dropped, every token but the first scored
 *            (Frantar et al., 2022; what papers report)
 * llama.cpp  windows of 512, each begun by the begin-of-text token where the tokenizer has one, second half scored
 * all        one window after the other, every token but the first, the remainder included
 */
export type PerplexityConvention = 'gptq' | 'llama.cpp' | 'all';

export interface PerplexityOptions {
  readonly convention?: PerplexityConvention;
  /** Tokens in a window; default 2048 for gptq, 512 for the others, never more than the model's context. */
  readonly window?: number;
  /** The most windows; default all. */
  readonly windows?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

export interface Perplexity extends Estimate {
  readonly convention: PerplexityConvention;
  readonly window: number;
  readonly windows: number;
  readonly scoredTokens: number;
  /** Mean negative log-likelihood per scored token, nats. */
  readonly negativeLogLikelihood: number;
}

/** Perplexity of a text, or of tokens; its error from the spread of the windows' means. */
export async function perplexity(
  scorer: Scorer,
  text: string | readonly number[],
  options: PerplexityOptions = {},
): Promise<Perplexity> {
  const convention = options.convention ?? 'gptq';
  const tokens = typeof text === 'string' ? scorer.encode(text) : text;
  const window = Math.min(options.window ?? (convention === 'gptq' ? 2048 : 512), scorer.contextLength, tokens.length);
  const count = convention === 'all' ? Math.ceil(tokens.length / window) : Math.floor(tokens.length / window);
  const total = Math.min(count, options.windows ?? count);

  const sums: number[] = [];
  const sizes: number[] = [];
  for (let i = 0; i < total; i++) {
    options.signal?.throwIfAborted();
    const part = tokens.slice(i * window, (i + 1) * window);
    // llama.cpp overwrites the first token of every window.
    const input =
      convention === 'llama.cpp' && tokens[0] === scorer.prefixToken ? [scorer.prefixToken, ...part.slice(1)] : part;
    const first = convention === 'llama.cpp' ? Math.floor(window / 2) : 1;
    if (input.length <= first) continue;
    const [scores] = await scorer.score(input.slice(0, first), [input.slice(first)], options.signal);
    const values = Array.from(scores?.logProbabilities ?? []);
    sums.push(values.reduce((sum, value) => sum - value, 0));
    sizes.push(values.length);
    options.onProgress?.({ stage: 'perplexity', done: i + 1, total });
  }

  const scoredTokens = sizes.reduce((sum, size) => sum + size, 0);
  const negativeLogLikelihood = sums.reduce((sum, value) => sum + value, 0) / scoredTokens;
  const { standardError } = meanOf(sums.map((sum, i) => sum / (sizes[i] ?? 1)));
  const value = Math.exp(negativeLogLikelihood);
  return {
    convention,
    window,
    windows: sums.length,
    scoredTokens,
    negativeLogLikelihood,
    value,
    standardError: standardError === undefined ? undefined : value * standardError,
  };
}
