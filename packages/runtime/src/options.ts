import type { OpenOptions } from '@llm/models';
import {
  checkOptions,
  InvalidOptionError,
  linearComputes,
  type JsonSchema,
  type LinearCompute,
  type SamplingOptions,
} from '@llm/tensor';

/** What a long call reports: `done` of `total` units of a stage. */
export interface Progress {
  readonly stage: string;
  readonly done: number;
  readonly total: number;
}

export type OnProgress = (progress: Progress) => void;

/** The options of {@link Model.load}. */
export interface LoadOptions {
  /**
   * `as-is` (default) uses the weights as they are stored. `int4` quantizes dense weights while loading: linears to 4 bits by
   * rounding to nearest, embeddings and head to 8. Weights that are quantized already stay as they are.
   */
  readonly weights?: 'as-is' | 'int4';
  /** Weights under one scale for `weights: 'int4'`: a multiple of 8 from 32 to 1024, or -1 for whole rows. Default 32. */
  readonly groupSize?: number;
  /** `sym` (default) has one scale per group, its extreme exactly represented; `asym` a scale and an integer zero point. */
  readonly scheme?: 'sym' | 'asym';
  /**
   * Arithmetic on all packed weights: activations rounded to 8 bits (`int8`), to bfloat16, or kept as float32. Default: as the model
   * says for each of its weights (a recipe may ask for more where activations have outliers), else `int8`. Linears that read the
   * same input, such as q, k and v, have one arithmetic: the most precise that is asked for any of them.
   */
  readonly compute?: LinearCompute;
  /**
   * Threads of a step; of prompts and of single tokens apart, if they are to differ. Default: what {@link measureThreads} found
   * on this machine, if it was measured, else what the machine gives.
   */
  readonly threads?: number | { readonly prefill: number; readonly decode: number };
  /** The most tokens of one sequence. Default: what the model was made for, up to 4096. */
  readonly contextLength?: number;
  /** The most tokens of one step; longer prompts take several. Default 512. */
  readonly maxTokensPerStep?: number;
  readonly kvCache?: KvCacheOptions;
  /** A smaller model with the same vocabulary that guesses tokens ahead for this one: see `speculation` of generate. */
  readonly draft?: string;
  /** Bytes. A model that needs more is refused before its weights are read. Default: no limit. */
  readonly maxMemory?: number;
  /** Names where NaN or infinity first appears, at the price of speed. */
  readonly debug?: boolean;
  /** Measures every instruction for {@link Model.profile}. */
  readonly profile?: boolean;
  /** Remembers when each thread worked on what, for {@link Model.trace}. */
  readonly trace?: boolean;
  /**
   * Keep weights that cannot be used as they lie (GGUF, GPTQ, AWQ, ...) in a file that the next load maps: see `openCheckpoint`.
   * Default false.
   */
  readonly cache?: NonNullable<OpenOptions['cache']>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

export interface KvCacheOptions {
  /** Default `f16`. */
  readonly type?: 'f32' | 'f16' | 'bf16' | 'int8';
  /**
   * Tokens of all sequences together that the cache has room for. Default: eight full contexts as far as they fit into 256 MiB,
   * and one in any case.
   */
  readonly tokens?: number;
}

export const loadDefaults: LoadDefaults = {
  weights: 'as-is',
  groupSize: 32,
  scheme: 'sym',
  maxTokensPerStep: 512,
  kvCache: { type: 'f16' },
};

export type LoadDefaults = Required<Pick<LoadOptions, 'weights' | 'groupSize' | 'scheme' | 'maxTokensPerStep'>> & {
  readonly kvCache: Required<Pick<KvCacheOptions, 'type'>>;
};

/** The options of every call that generates. Defaults are neutral: greedy, to the model's end of text or the context's. */
export interface GenerateOptions extends SamplingOptions {
  /** Default: as many as the context holds. */
  readonly maxTokens?: number;
  /** 0 (default) takes the most likely token; 1 draws from the model's own distribution. */
  readonly temperature?: number;
  /** Texts that end the generation, and are not part of it. */
  readonly stop?: string | readonly string[];
  /** Token ids that end the generation. Default: the model's own end of text; an empty list for none. */
  readonly stopTokens?: readonly number[];
  /**
   * Go on when the context is full: the first `keep` tokens stay, half of the others are forgotten, in whole blocks of the
   * cache. Not for models with learned positions. Default: the generation ends there.
   */
  readonly contextShift?: { readonly keep: number };
  /**
   * Guesses tokens ahead, so that a step gives several where the guesses are right: from the text itself, or by the model's
   * `draft`. What is said does not change; guessing that gains no time is given up by itself. Default `none`.
   */
  readonly speculation?: 'none' | 'promptLookup' | 'draftModel';
  /**
   * The form that the answer must have, in the notation GBNF: see {@link Grammar}. Only tokens that keep to it are drawn; the
   * answer ends where the grammar does, or, incomplete, at maxTokens and where the context is full.
   */
  readonly grammar?: string;
  /** The answer is a JSON text of this schema: see {@link jsonSchemaGrammar} for the keywords. Like `grammar`, and instead of it. */
  readonly jsonSchema?: JsonSchema;
  /** Give each token's log-probability, at temperature 1 and before penalties, in {@link Generation.parts}. */
  readonly logProbabilities?: boolean;
  /** Aborting rejects everything awaited of the generation with the signal's reason. */
  readonly signal?: AbortSignal;
}

const loadOptions: Record<keyof LoadOptions, true> = {
  weights: true,
  groupSize: true,
  scheme: true,
  compute: true,
  threads: true,
  contextLength: true,
  maxTokensPerStep: true,
  kvCache: true,
  draft: true,
  maxMemory: true,
  debug: true,
  profile: true,
  trace: true,
  cache: true,
  onProgress: true,
  signal: true,
};

const generateOptions: Record<keyof GenerateOptions, true> = {
  maxTokens: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  presencePenalty: true,
  frequencyPenalty: true,
  logitBias: true,
  seed: true,
  stop: true,
  stopTokens: true,
  contextShift: true,
  speculation: true,
  grammar: true,
  jsonSchema: true,
  logProbabilities: true,
  signal: true,
};

/** @throws {@link UnknownOptionError}, {@link InvalidOptionError} */
export function checkLoadOptions(options: LoadOptions): void {
  checkOptions(options, Object.keys(loadOptions), 'Model.load()');
  checkOptions(options.kvCache, ['type', 'tokens'], 'Model.load({ kvCache })');
  oneOf('weights', options.weights, ['as-is', 'int4']);
  oneOf('scheme', options.scheme, ['sym', 'asym']);
  oneOf('compute', options.compute, linearComputes);
  oneOf('kvCache.type', options.kvCache?.type, ['f32', 'f16', 'bf16', 'int8']);
  const { groupSize = loadDefaults.groupSize, threads } = options;
  if (groupSize !== -1 && (groupSize % 8 !== 0 || groupSize < 32 || groupSize > 1024))
    throw new InvalidOptionError('groupSize', String(groupSize), ['-1 (whole rows)', 'multiples of 8 from 32 to 1024']);
  if (typeof threads === 'object') {
    checkOptions(threads, ['prefill', 'decode'], 'Model.load({ threads })');
    positive('threads.prefill', threads.prefill);
    positive('threads.decode', threads.decode);
  } else positive('threads', threads);
  positive('contextLength', options.contextLength);
  positive('maxTokensPerStep', options.maxTokensPerStep);
  positive('kvCache.tokens', options.kvCache?.tokens);
  positive('maxMemory', options.maxMemory);
}

/** @throws {@link UnknownOptionError}, {@link InvalidOptionError} */
export function checkGenerateOptions(options: GenerateOptions, where = 'generate()'): void {
  checkOptions(options, Object.keys(generateOptions), where);
  positive('maxTokens', options.maxTokens);
  checkOptions(options.contextShift, ['keep'], `${where} contextShift`);
  oneOf('speculation', options.speculation, ['none', 'promptLookup', 'draftModel']);
  if (options.grammar !== undefined && options.jsonSchema !== undefined)
    throw new InvalidOptionError('jsonSchema', 'a schema', ['one of grammar and jsonSchema']);
  whole('contextShift.keep', options.contextShift?.keep, 0, '0 or a whole number');
  within('temperature', options.temperature, 0, Infinity, '0 (greedy) or more');
  within('topP', options.topP, 0, 1, 'numbers from 0 to 1');
  within('minP', options.minP, 0, 1, 'numbers from 0 to 1');
  whole('topK', options.topK, 0, '0 (all) or a whole number');
  if (options.repetitionPenalty !== undefined && !(options.repetitionPenalty > 0))
    throw new InvalidOptionError('repetitionPenalty', String(options.repetitionPenalty), ['numbers above 0']);
  within('presencePenalty', options.presencePenalty, -Infinity, Infinity, 'numbers');
  within('frequencyPenalty', options.frequencyPenalty, -Infinity, Infinity, 'numbers');
}

function oneOf(option: string, value: string | undefined, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value)) throw new InvalidOptionError(option, value, allowed);
}

function positive(option: string, value: number | undefined): void {
  whole(option, value, 1, 'whole numbers above 0');
}

function whole(option: string, value: number | undefined, least: number, allowed: string): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= least))
    throw new InvalidOptionError(option, String(value), [allowed]);
}

function within(option: string, value: number | undefined, least: number, most: number, allowed: string): void {
  if (value !== undefined && !(value >= least && value <= most))
    throw new InvalidOptionError(option, String(value), [allowed]);
}
