import type { ChatTemplate, GenerationConfig, Tokenizer } from '@llm/models';
import {
  beamSearch,
  checkOptions,
  DisposedError,
  InvalidOptionError,
  type BeamSearchOptions,
  type ForwardOptions,
  type Hypothesis,
  type InstructionProfile,
  type Program,
  type ProgramStats,
  type Sequence,
  type TraceSpan,
} from '@llm/tensor';

import { checkEmbedOptions, meanRow, unitLength, type EmbedOptions } from './embed.ts';
import type { Generation } from './generation.ts';
import { estimateModelMemory, loadModel, type LoadedModel } from './load.ts';
import type { MemoryEstimate } from './memory.ts';
import { checkGenerateOptions, type GenerateOptions, type LoadOptions } from './options.ts';
import {
  checkTokens,
  decodeAfter,
  decoderAfter,
  encodePrompt,
  isTokens,
  tokenizerOf,
  type Language,
  type Prompt,
} from './prompt.ts';
import { readSession } from './saved-session.ts';
import { scoreInputs, scoreOf, scoreRequest, type Score } from './score.ts';
import { Session } from './session.ts';
import { grammarOf, startGeneration } from './start-generation.ts';

export interface LogitsOptions {
  /** Of the last token only (default), or of all. */
  readonly positions?: 'last' | 'all';
  readonly signal?: AbortSignal;
}

export interface BeamOptions extends Omit<BeamSearchOptions, 'endTokens'> {
  /** Token ids that end a text. Default: the model's own end of text; an empty list for none. */
  readonly stopTokens?: readonly number[];
}

/** One of the texts that a beam search found. */
export interface Beam extends Hypothesis {
  readonly text: string;
}

/**
 * A language model, ready to run.
 *
 * ```ts
 * await using model = await Model.load('./stories-llama-5m', { weights: 'int4' });
 * for await (const text of model.generate('Once upon a time', { maxTokens: 100 })) process.stdout.write(text);
 * ```
 */
export class Model implements AsyncDisposable {
  readonly #loaded: LoadedModel;
  readonly #language: Language;
  readonly #sessions = new Set<Session>();
  #disposed: Promise<void> | undefined;

  private constructor(loaded: LoadedModel) {
    this.#loaded = loaded;
    const { checkpoint, tokenizer } = loaded;
    this.#language = { path: checkpoint.path, tokenizer, chatTemplate: checkpoint.chatTemplate() };
  }

  /**
   * Loads a model folder, a .gguf file, or `hf:owner/name`.
   * @throws {@link ModelNotFoundError}, {@link CorruptFileError}, {@link UnsupportedFormatError}, {@link InvalidConfigError},
   * {@link MissingWeightError}, {@link UnknownOptionError}, {@link InvalidOptionError}, {@link MemoryLimitError}, or the reason of
   * the signal
   */
  static async load(source: string, options: LoadOptions = {}): Promise<Model> {
    return new Model(await loadModel(source, options));
  }

  /** What {@link load} with these options will take; only headers are read. */
  static estimateMemory(source: string, options: LoadOptions = {}): Promise<MemoryEstimate> {
    return estimateModelMemory(source, options);
  }

  /** The most tokens of a prompt and its answer together. */
  get contextLength(): number {
    return this.#loaded.contextLength;
  }

  /** Entries of a row of logits; may be more than the tokenizer has. */
  get vocabularySize(): number {
    return this.#loaded.program.description.vocabularySize;
  }

  /** @throws {@link TokenizerError} */
  get tokenizer(): Tokenizer {
    return tokenizerOf(this.#language);
  }

  /** Undefined where the model takes no messages. */
  get chatTemplate(): ChatTemplate | undefined {
    return this.#language.chatTemplate;
  }

  /** The sampling that the model's authors recommend; spread it into the options of `generate` to follow it. */
  get generationConfig(): GenerationConfig {
    return this.#loaded.checkpoint.generationConfig;
  }

  /** The tokens that end an answer. */
  get eosTokenIds(): readonly number[] {
    return this.#loaded.checkpoint.eosTokenIds;
  }

  /** The token that stands before a text without context: begin of text, or end of text where there is none. */
  get prefixToken(): number {
    const { bosTokenId, eosTokenIds } = this.#loaded.checkpoint;
    return bosTokenId ?? eosTokenIds[0] ?? 0;
  }

  /** What the model takes. */
  get memory(): MemoryEstimate {
    return this.#loaded.memory;
  }

  /** The native program with its cache, for those who look inside. @throws {@link DisposedError} */
  get program(): Program {
    if (this.#disposed) throw new DisposedError('model');
    return this.#loaded.program;
  }

  /**
   * Continues a text, answers messages, or goes on with token ids. The work starts at once and shares steps with what else is
   * running.
   * @throws {@link UnknownOptionError}, {@link InvalidOptionError}, {@link ContextOverflowError}, {@link NoChatTemplateError},
   * {@link TokenizerError}, {@link InvalidGrammarError}, {@link UnsupportedSchemaError}
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    checkGenerateOptions(options);
    const tokens = encodePrompt(prompt, this.#language);
    checkTokens(tokens, this.contextLength, this.vocabularySize);
    const grammar = grammarOf(this.#loaded, options);
    const sequence = this.program.createSequence();
    // An answer begins a text of its own; everything else goes on with one.
    const answers = typeof prompt !== 'string' && !isTokens(prompt);
    const decoder = decoderAfter(answers ? [] : tokens, this.#language);
    const finished = (): void => {
      sequence.dispose();
    };
    const beginning = { sequence, prompt: Int32Array.from(tokens), decoder, grammar, finished };
    return startGeneration(this.#loaded, beginning, options);
  }

  /**
   * The likeliest continuations of a prompt, as far as following the best few shows; the best first.
   * @throws what {@link generate} throws
   */
  async beamSearch(prompt: Prompt, options: BeamOptions): Promise<Beam[]> {
    checkOptions(options, ['beams', 'maxTokens', 'returned', 'lengthPenalty', 'stopTokens', 'signal'], 'beamSearch()');
    const { stopTokens = this.eosTokenIds, ...rest } = options;
    const tokens = encodePrompt(prompt, this.#language);
    checkTokens(tokens, this.contextLength, this.vocabularySize);
    const found = await beamSearch(this.program, Int32Array.from(tokens), { ...rest, endTokens: stopTokens });
    return found.map((hypothesis) => ({ ...hypothesis, text: decodeAfter(tokens, hypothesis.tokens, this.#language) }));
  }

  /** A conversation or a growing text whose cache is kept between turns. */
  session(): Session {
    return this.#newSession(this.program.createSequence());
  }

  /**
   * A session as {@link Session.save} left it, by the same model with the same kind of cache.
   * @throws {@link SequenceFileError} for another model's or a damaged one, {@link OutOfBlocksError}
   */
  async restoreSession(folder: string): Promise<Session> {
    const { program } = this;
    const { state, sequence } = await readSession(folder, (path) => program.restoreSequence(path));
    const session = this.#newSession(sequence);
    session.resume(state);
    return session;
  }

  /**
   * @returns logits [positions, vocabularySize]
   * @throws {@link ContextOverflowError}, {@link InvalidArgumentError}
   */
  async logits(tokenIds: readonly number[] | Int32Array, options: LogitsOptions = {}): Promise<Float32Array> {
    checkOptions(options, ['positions', 'signal'], 'logits()');
    const { positions = 'last', signal } = options;
    if (!['last', 'all'].includes(positions)) throw new InvalidOptionError('positions', positions, ['last', 'all']);
    return this.#forward(tokenIds, { outputs: positions, ...(signal && { signal }) });
  }

  /**
   * How likely the model finds a continuation after a context, as lm-evaluation-harness defines it: an empty context stands for
   * the begin of a text, and what does not fit the context length is cut off on the left.
   */
  async score(
    context: string | readonly number[],
    continuation: string | readonly number[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Score> {
    checkOptions(options, ['signal'], 'score()');
    const request = scoreRequest(context, continuation, this.#language, this.prefixToken);
    const { ids, outputs, scored } = scoreInputs(request, this.contextLength);
    return scoreOf(await this.#forward(ids, { outputs, ...options }), scored);
  }

  /** A vector for a text, of the model's width: its last hidden states, pooled. */
  async embed(input: string | readonly number[] | Int32Array, options: EmbedOptions = {}): Promise<Float32Array> {
    checkEmbedOptions(options);
    const { pooling = 'mean', normalize = true, signal } = options;
    const outputs = pooling === 'mean' ? 'all' : 'last';
    const ids = encodePrompt(input, this.#language);
    const states = await this.#forward(ids, { outputs, hidden: true, ...(signal && { signal }) });
    const pooled = pooling === 'mean' ? meanRow(states, states.length / ids.length) : states;
    return normalize ? unitLength(pooled) : pooled;
  }

  /** Time per instruction; empty unless the model was loaded with `profile`. */
  profile(): InstructionProfile[] {
    return this.program.profile();
  }

  /** The last steps, thread by thread, for `chromeTrace` of @llm/tensor; empty unless the model was loaded with `trace`. */
  trace(): TraceSpan[] {
    return this.program.trace();
  }

  /** Blocks of the cache, bytes, and what has run so far. */
  stats(): ProgramStats {
    return this.program.stats();
  }

  /** Ends what is running with {@link ProgramDisposedError}, disposes its sessions, and frees all memory. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #dispose(): Promise<void> {
    for (const session of this.#sessions) session.dispose();
    await this.#loaded.dispose();
  }

  #newSession(sequence: Sequence): Session {
    return new Session(this.#loaded, this.#language, sequence, {
      adopt: (session) => this.#sessions.add(session),
      forget: (session) => this.#sessions.delete(session),
    });
  }

  async #forward(tokens: readonly number[] | Int32Array, options: ForwardOptions): Promise<Float32Array> {
    checkTokens(tokens, this.contextLength, this.vocabularySize);
    using sequence = this.program.createSequence();
    return await this.program.forward(sequence, Int32Array.from(tokens), options);
  }
}
