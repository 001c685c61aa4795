import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { kernelsFor } from './cpu.ts';
import { InvalidArgumentError, LlmError } from './errors.ts';
import { nativeSamplingOptions, samplingOptionNames, type SamplingOptions } from './generation.ts';
import { checkOptions } from './options.ts';
import { NonFiniteLogitsError, NothingAllowedError } from './program-errors.ts';

export interface SampleOptions extends SamplingOptions {
  /** The tokens so far, prompt and generated; default none. */
  readonly history?: Int32Array;
  /** How many of the history belong to the prompt; default all. */
  readonly promptTokens?: number;
  /** Which random number of the seed's sequence to use, from 0; default 0. */
  readonly draw?: number;
  /** Bit t % 32 of word t / 32 is set if token t may be chosen; default all. */
  readonly allowed?: Uint32Array;
  /** How many of the likeliest tokens to report; default none. */
  readonly topLogProbabilities?: number;
  /** A kernel table of {@link cpuInfo}; default: the best. */
  readonly isa?: string;
}

/** Log-probabilities are natural, and of the model's own distribution: before temperature, penalties, biases and mask. */
export interface Sample {
  readonly token: number;
  readonly logProbability: number;
  readonly top: readonly { readonly token: number; readonly logProbability: number }[];
}

/**
 * Chooses a token by its logits, as a program's generate() does. In this order: logit bias, repetition penalty, presence
 * and frequency penalties, mask; temperature, top-k, top-p, min-p. The logits are left as they are.
 * @throws {@link NonFiniteLogitsError} if a logit is NaN or infinite
 * @throws {@link NothingAllowedError} if no token is left
 */
export function sampleToken(logits: Float32Array, options: SampleOptions = {}): Sample {
  const { history, promptTokens, draw = 0, allowed, topLogProbabilities = 0, isa, ...sampling } = options;
  if (logits.length === 0) throw new InvalidArgumentError('There are no logits to sample from.');
  checkOptions(sampling, samplingOptionNames, 'sampleToken()');
  const past = history ?? new Int32Array(0);
  const native = nativeSamplingOptions(sampling);
  const sample = sampled(() =>
    backend().addon.sampleToken(
      ...([kernelsFor(isa), Float32Array.from(logits), native, past, promptTokens ?? past.length] as const),
      ...([draw, allowed, true, topLogProbabilities] as const),
    ),
  );
  return {
    token: sample.token,
    logProbability: sample.logProbability ?? Number.NaN,
    top: Array.from(sample.topTokens, (token, i) => ({ token, logProbability: sample.topLogProbabilities[i] ?? 0 })),
  };
}

function sampled<Result>(call: () => Result): Result {
  try {
    return translateErrors(call);
  } catch (error) {
    if (LlmError.isInstance(error) && error.code === 'NON_FINITE_LOGITS') throw new NonFiniteLogitsError(undefined);
    if (LlmError.isInstance(error) && error.code === 'NOTHING_ALLOWED') throw new NothingAllowedError({ cause: error });
    throw error;
  }
}
