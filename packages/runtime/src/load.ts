import { openCheckpoint, TokenizerError, type Checkpoint, type ForwardPass, type Tokenizer } from '@llm/models';
import {
  InvalidOptionError,
  Program,
  savedThreads,
  type CacheDescription,
  type ProgramDescription,
  type ProgramOptions,
} from '@llm/tensor';

import { compile, planProgram, type CompileOptions } from './compile/compile.ts';
import { MemoryLimitError } from './errors.ts';
import { cacheBlockBytes, estimateMemory, sumOf, type MemoryEstimate } from './memory.ts';
import { ModelWeights } from './model-weights.ts';
import { OutputForms } from './output-form.ts';
import { checkLoadOptions, loadDefaults, type LoadOptions } from './options.ts';

/** Everything that a model runs on. */
export interface LoadedModel {
  readonly checkpoint: Checkpoint;
  readonly program: Program;
  readonly tokenizer: Tokenizer | TokenizerError;
  readonly forms: OutputForms;
  readonly contextLength: number;
  readonly memory: MemoryEstimate;
  /** Ends what is running and frees everything. */
  readonly dispose: () => Promise<void>;
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
  const open: Disposable[] = [];
  let program: Program | undefined;
  const dispose = async (): Promise<void> => {
    await program?.dispose();
    for (const resource of open.reverse()) resource[Symbol.dispose]();
  };
  try {
    const target = await prepare(source, options, open);
    const { contextLength } = target.options;
    const draft =
      options.draft === undefined ? undefined : await prepare(options.draft, { ...options, contextLength }, open);
    const memory = draft ? sumOf(target.memory, draft.memory) : target.memory;
    checkPlans(target, draft, memory, options);

    for (const { weights } of draft ? [target, draft] : [target]) await weights.prepare(options);
    const tokenizer = await tokenizerOrError(target.checkpoint);
    options.signal?.throwIfAborted();
    program = new Program(describe(target), { ...programOptions(options), ...(draft && { draft: describe(draft) }) });
    if (program.contextLength < contextLength)
      throw new InvalidOptionError('contextLength', String(contextLength), [`up to ${program.contextLength}`]);
    const forms = new OutputForms(target.checkpoint.path, tokenizer, target.results.vocabularySize);
    return { checkpoint: target.checkpoint, program, tokenizer, forms, contextLength, memory, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Opens and plans a model. What has to be disposed of later is added to `open`. */
async function prepare(source: string, options: LoadOptions, open: Disposable[]): Promise<LoadPlan> {
  const checkpoint = await openModel(source, options);
  open.push(checkpoint);
  const planned = plan(checkpoint, options);
  open.push(planned.weights);
  return planned;
}

/** Refuses what will not work before any weight is read. */
function checkPlans(target: LoadPlan, draft: LoadPlan | undefined, memory: MemoryEstimate, options: LoadOptions): void {
  const { vocabularySize } = target.results;
  if (draft && draft.results.vocabularySize !== vocabularySize)
    throw new InvalidOptionError('draft', options.draft ?? '', [`models with ${vocabularySize} tokens`]);
  if (options.maxMemory !== undefined && memory.total > options.maxMemory)
    throw new MemoryLimitError(memory.total, options.maxMemory);
}

function describe({ results, weights, options }: LoadPlan): ProgramDescription {
  return compile(results, weights, options);
}

/**
 * What a model will take once it is loaded. Only headers are read.
 * @throws what {@link Model.load} throws, except for `maxMemory`
 */
export async function estimateModelMemory(source: string, options: LoadOptions = {}): Promise<MemoryEstimate> {
  checkLoadOptions(options);
  const open: Disposable[] = [];
  try {
    const uncached = { ...options, cache: false };
    const { memory } = await prepare(source, uncached, open);
    if (options.draft === undefined) return memory;
    return sumOf(memory, (await prepare(options.draft, uncached, open)).memory);
  } finally {
    for (const resource of open.reverse()) resource[Symbol.dispose]();
  }
}

interface LoadPlan {
  readonly checkpoint: Checkpoint;
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
  const { compute } = options;
  const cache = { type: options.kvCache?.type ?? loadDefaults.kvCache.type, blockTokens };
  const program = planProgram(results, weights, { compute, cache: { ...cache, blocks: 1 } });
  const blocks = cacheBlocks(program.cache, contextLength, options.kvCache?.tokens);
  const sized = { ...program, cache: { ...program.cache, blocks } };
  return {
    checkpoint,
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

function openModel(source: string, { cache = false, signal, onProgress }: LoadOptions): Promise<Checkpoint> {
  return openCheckpoint(source, { cache, ...(signal && { signal }), ...(onProgress && { onProgress }) });
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

function programOptions({ threads = savedThreads(), debug, profile, trace }: LoadOptions): ProgramOptions {
  const [prefill, decode] = typeof threads === 'object' ? [threads.prefill, threads.decode] : [threads, threads];
  return {
    ...(prefill !== undefined && { threads: prefill }),
    ...(decode !== undefined && { decodeThreads: decode }),
    ...(debug !== undefined && { debug }),
    ...(profile !== undefined && { profile }),
    ...(trace !== undefined && { trace }),
  };
}
