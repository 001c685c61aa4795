import type { NativeEnd, NativeGenerateOptions, NativeSamplingOptions } from './backend/program-calls.ts';
import { InvalidArgumentError } from './errors.ts';
import type { Grammar } from './grammar/grammar.ts';
import { checkOptions } from './options.ts';

/** How the next token is chosen. The defaults change nothing: a draw from the softmax of the logits. */
export interface SamplingOptions {
  /** 0 takes the likeliest token; default 1. */
  readonly temperature?: number;
  /** Only the k most likely tokens; 0 for all. */
  readonly topK?: number;
  /** The smallest set of tokens with this much probability; 1 for all. */
  readonly topP?: number;
  /** Only tokens with at least this share of the most likely token's probability; 0 for all. */
  readonly minP?: number;
  /** Divides positive logits, multiplies negative ones, of tokens seen before; 1 for none. */
  readonly repetitionPenalty?: number;
  /** Subtracted from the logits of tokens that were generated before. */
  readonly presencePenalty?: number;
  /** Subtracted once for each time the token was generated. */
  readonly frequencyPenalty?: number;
  readonly seed?: bigint | number;
  /** Added to the logits of tokens. */
  readonly logitBias?: ReadonlyMap<number, number>;
}

export interface GenerateOptions {
  /** The most tokens to generate. */
  readonly maxTokens: number;
  readonly sampling?: SamplingOptions;
  /** Generation ends at one of these; it is not delivered. */
  readonly stopTokens?: readonly number[];
  /**
   * The form that the generated text must have. Over the program's whole vocabulary. Generation ends, with the reason
   * `stop`, where nothing but an end token can follow.
   */
  readonly grammar?: Grammar;
  /** Deliver the natural logarithm of each token's probability (at temperature 1, before penalties). */
  readonly logProbabilities?: boolean;
  /**
   * Goes on when the context is full: the first `keep` tokens stay, half of the others are forgotten. Both in whole blocks.
   * By default the generation ends there.
   */
  readonly contextShift?: { readonly keep: number };
  /**
   * Guesses at the next tokens, so that a step gives several when they are right: from the text itself, or by the program's
   * draft model. The output does not change; what does not gain time is given up by itself. Default 'none'.
   */
  readonly speculation?: 'none' | 'promptLookup' | 'draftModel';
}

/** The next tokens of one generation, in order; one or several. */
export interface TokenBatch {
  readonly tokens: Int32Array;
  /** One per token, if asked for. */
  readonly logProbabilities: Float32Array | undefined;
}

export interface GenerationFinish {
  /**
   * stop       a stop token came
   * length     maxTokens are done
   * context    the context is full
   * cancelled  cancel() was called
   */
  readonly reason: 'stop' | 'length' | 'context' | 'cancelled';
  readonly stopToken: number | undefined;
  readonly promptTokens: number;
  /** Tokens of the prompt that were found in the cache of an earlier request. */
  readonly reusedTokens: number;
  readonly generatedTokens: number;
  /** From the call to the first token, and from there to the last. */
  readonly promptSeconds: number;
  readonly generateSeconds: number;
  /** Tokens guessed ahead by speculation, and those of them that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

export interface GenerationHandle {
  /** Frees the place of this generation at once; `done` resolves with the reason 'cancelled'. */
  cancel(): void;
  /** @throws OutOfBlocksError, NonFiniteLogitsError, ProgramDisposedError, or what `onTokens` threw */
  readonly done: Promise<GenerationFinish>;
}

const reasons: readonly GenerationFinish['reason'][] = ['stop', 'length', 'context', 'cancelled'];

/** @internal */
export function reasonOf(end: NativeEnd): GenerationFinish['reason'] {
  return reasons[end.reason] ?? 'cancelled';
}

/** @internal */
export function finishOf(end: NativeEnd): GenerationFinish {
  return {
    reason: reasonOf(end),
    stopToken: end.stopToken < 0 ? undefined : end.stopToken,
    promptTokens: end.promptTokens,
    reusedTokens: end.reusedTokens,
    generatedTokens: end.generatedTokens,
    promptSeconds: end.promptSeconds,
    generateSeconds: end.generateSeconds,
    draftedTokens: end.draftedTokens,
    acceptedTokens: end.acceptedTokens,
  };
}

const generateOptionNames = [
  'maxTokens',
  'sampling',
  'stopTokens',
  'logProbabilities',
  'grammar',
  'contextShift',
  'speculation',
];

/** All of {@link SamplingOptions}. */
export const samplingOptionNames: readonly string[] = Object.keys({
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  presencePenalty: true,
  frequencyPenalty: true,
  seed: true,
  logitBias: true,
} satisfies Record<keyof SamplingOptions, true>);

/** @internal */
export function nativeGenerateOptions(options: GenerateOptions): NativeGenerateOptions {
  checkOptions(options, generateOptionNames, 'generate()');
  return {
    ...nativeSamplingOptions(options.sampling ?? {}),
    grammar: options.grammar?.native,
    maxTokens: inRange('maxTokens', options.maxTokens, 1, 2 ** 31 - 1),
    speculation: options.speculation ?? 'none',
    stopTokens: Int32Array.from(options.stopTokens ?? []),
    logProbabilities: options.logProbabilities ?? false,
    shiftKeep: options.contextShift ? inRange('keep', options.contextShift.keep, 0, 2 ** 31 - 1) : -1,
  };
}

/** @internal */
export function nativeSamplingOptions(sampling: SamplingOptions): NativeSamplingOptions {
  checkOptions(sampling, samplingOptionNames, 'sampling');
  const bias = [...(sampling.logitBias ?? [])];
  return {
    temperature: inRange('temperature', sampling.temperature ?? 1, 0, 1e6),
    topK: inRange('topK', sampling.topK ?? 0, 0, 2 ** 31 - 1),
    topP: inRange('topP', sampling.topP ?? 1, 0, 1),
    minP: inRange('minP', sampling.minP ?? 0, 0, 1),
    repetitionPenalty: inRange('repetitionPenalty', sampling.repetitionPenalty ?? 1, 1e-6, 1e6),
    presencePenalty: inRange('presencePenalty', sampling.presencePenalty ?? 0, -1e6, 1e6),
    frequencyPenalty: inRange('frequencyPenalty', sampling.frequencyPenalty ?? 0, -1e6, 1e6),
    seed: BigInt.asUintN(64, BigInt(sampling.seed ?? 0)),
    biasTokens: Int32Array.from(bias, ([token]) => token),
    biasValues: Float32Array.from(bias, ([, value]) => value),
  };
}

function inRange(name: string, value: number, low: number, high: number): number {
  if (value >= low && value <= high) return value;
  throw new InvalidArgumentError(`${name} must be from ${String(low)} to ${String(high)}; ${String(value)} is not.`);
}
