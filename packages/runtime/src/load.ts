import { openCheckpoint, TokenizerError, type Checkpoint, type ForwardPass, type Tokenizer } from '@llm/models';
import { InvalidOptionError, Program, type CacheDescription, type ProgramOptions } from '@llm/tensor';

import { compile, planProgram, type CompileOptions } from './compile/compile.ts';
import { MemoryLimitError } from './errors.ts';
import { cacheBlockBytes, estimateMemory, type MemoryEstimate } from './memory.ts';
import { ModelWeights } from './model-weights.ts';
import { checkLoadOptions, loadDefaults, type LoadOptions } from './options.ts';

/** Everything that a model runs on. */
export interface LoadedModel {
  readonly checkpoint: Checkpoint;
  readonly weights: ModelWeights;
  readonly program: Program;
  readonly tokenizer: Tokenizer | TokenizerError;
  readonly contextLength: number;
  readonly memory: MemoryEstimate;
}

/** Tokens in a block of the cache. */
const blockTokens = 64;

/** The context of models that were made for longer ones, unless asked for more. */
const defaultContextLimit = 4096;

/** The room that the cache takes for contexts beyond one. */
const spareCacheBytes = 256 * 2 ** 20;

const spareContexts = 8;

export async function loadModel(source: string, options: LoadOptions): Promise<LoadedModel> {
  checkLoadOptions(options);
  options.signal?.throwIfAborted();
  const checkpoint = await openModel(source, options);
  let weights: ModelWeights | undefined;
  try {
    const planned = plan(checkpoint, options);
    weights = planned.weights;
    const { memory } = planned;
    if (options.maxMemory !== undefined && memory.total > options.maxMemory)
      throw new MemoryLimitError(memory.total, options.maxMemory);
    await weights.prepare(options);
    const tokenizer = await tokenizerOrError(checkpoint);
    options.signal?.throwIfAborted();
    const program = new Program(compile(planned.results, weights, planned.options), programOptions(options));
    const { contextLength } = planned.options;
    if (program.contextLength < contextLength) {
      await program.dispose();
      throw new InvalidOptionError('contextLength', String(contextLength), [`up to ${program.contextLength}`]);
    }
    return { checkpoint, weights, program, tokenizer, contextLength, memory };
  } catch (error) {
    weights?.[Symbol.dispose]();
    checkpoint[Symbol.dispose]();
    throw error;
  }
}

/**
 * What a model will take once it is loaded. Only headers are read.
 * @throws what {@link Model.load} throws, except for `maxMemory`
 */
export async function estimateModelMemory(source: string, options: LoadOptions = {}): Promise<MemoryEstimate> {
  checkLoadOptions(options);
  using checkpoint = await openModel(source, options);
  const { weights, memory } = plan(checkpoint, options);
  weights[Symbol.dispose]();
  return memory;
}

interface LoadPlan {
  readonly results: ForwardPass;
  readonly weights: ModelWeights;
  readonly options: CompileOptions;
  readonly memory: MemoryEstimate;
}

function plan(checkpoint: Checkpoint, options: LoadOptions): LoadPlan {
  const results: ForwardPass = checkpoint.architecture.build(checkpoint.config);
  const weights = new ModelWeights(checkpoint, results.graph, options);
  const contextLength = options.contextLength ?? Math.min(results.contextLength, defaultContextLimit);
  const maxTokens = Math.min(options.maxTokensPerStep ?? loadDefaults.maxTokensPerStep, contextLength);
  const compute = options.compute ?? loadDefaults.compute;
  const cache = { type: options.kvCache?.type ?? loadDefaults.kvCache.type, blockTokens };
  const program = planProgram(results, weights, { compute, cache: { ...cache, blocks: 1 } });
  const blocks = cacheBlocks(program.cache, contextLength, options.kvCache?.tokens);
  const sized = { ...program, cache: { ...program.cache, blocks } };
  return {
    results,
    weights,
    options: { maxTokens, contextLength, compute, cache: { ...cache, blocks } },
    memory: estimateMemory(sized, weights.matrixFormats(), maxTokens, results.vocabularySize),
  };
}

function cacheBlocks(cache: CacheDescription, contextLength: number, tokens: number | undefined): number {
  const oneContext = Math.ceil(contextLength / blockTokens);
  if (tokens !== undefined) return Math.ceil(tokens / blockTokens);
  const spare = Math.floor(spareCacheBytes / cacheBlockBytes(cache));
  return Math.max(oneContext, Math.min(spareContexts * oneContext, spare));
}

function openModel(source: string, { signal }: LoadOptions): Promise<Checkpoint> {
  return openCheckpoint(source, { ...(signal && { signal }) });
}

/** A model without a usable tokenizer still runs on token ids; the error is for whoever gives it text. */
async function tokenizerOrError(checkpoint: Checkpoint): Promise<Tokenizer | TokenizerError> {
  try {
    return await checkpoint.tokenizer();
  } catch (error) {
    if (error instanceof TokenizerError) return error;
    throw error;
  }
}

function programOptions({ threads, debug, profile, trace }: LoadOptions): ProgramOptions {
  const [prefill, decode] = typeof threads === 'object' ? [threads.prefill, threads.decode] : [threads, threads];
  return {
    ...(prefill !== undefined && { threads: prefill }),
    ...(decode !== undefined && { decodeThreads: decode }),
    ...(debug !== undefined && { debug }),
    ...(profile !== undefined && { profile }),
    ...(trace !== undefined && { trace }),
  };
}
