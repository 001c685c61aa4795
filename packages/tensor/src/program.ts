import { backend } from './backend/load.ts';
import type { NativeEnd, NativeProgram } from './backend/program-calls.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { DisposedError, InvalidArgumentError } from './errors.ts';
import {
  finishOf,
  nativeGenerateOptions,
  reasonOf,
  type GenerateOptions,
  type GenerationHandle,
  type TokenBatch,
} from './generation.ts';
import { checkOptions } from './options.ts';
import { contextLength, type ProgramDescription } from './program-description.ts';
import { programError, ProgramDisposedError } from './program-errors.ts';
import { restoreSequence, saveSequence } from './sequence-file.ts';
import { Sequence } from './sequence.ts';
import { traceSpans, type TraceSpan } from './trace.ts';

export interface ProgramOptions {
  /** Threads of a step, the engine's own included; default: what the machine gives this process. */
  readonly threads?: number;
  /** Threads of steps with few tokens; default: `threads`. */
  readonly decodeThreads?: number;
  /** The kernel table to use, by the name that `cpuInfo()` lists; default: the best. */
  readonly isa?: string;
  /** Check every instruction's result, so that errors name the first one that went wrong. Slow. */
  readonly debug?: boolean;
  /** Measure each instruction. */
  readonly profile?: boolean;
  /** A smaller model with the same vocabulary, whose cache holds as long a context: see `speculation` of generate. */
  readonly draft?: ProgramDescription;
  /** Remember when each thread worked on what, for `trace()`. */
  readonly trace?: boolean;
}

export interface ForwardOptions {
  /** Which tokens to give logits for: the last, all, or positions within `tokens` in ascending order. Default 'last'. */
  readonly outputs?: 'last' | 'all' | readonly number[];
  /** The hidden states before the head instead of logits. */
  readonly hidden?: boolean;
  readonly signal?: AbortSignal;
}

export interface InstructionProfile {
  /** The place in the description. */
  readonly index: number;
  readonly name: string;
  /** Wall time since the program was made. */
  readonly seconds: number;
}

export interface ProgramStats {
  readonly blocks: number;
  readonly freeBlocks: number;
  /** Of the free ones, those that still hold tokens which a new request may reuse. */
  readonly reusableBlocks: number;
  readonly blockBytes: number;
  readonly cacheBytes: number;
  readonly arenaBytes: number;
  readonly scratchBytes: number;
  readonly steps: number;
  readonly tokens: number;
  readonly stepSeconds: number;
  /** Barriers at which the threads of the last step met. */
  readonly barriers: number;
}

interface Pending {
  readonly onTokens: ((batch: TokenBatch) => void) | undefined;
  readonly resolve: (end: NativeEnd) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * A description made ready to run: native code with a thread of its own, memory for its steps, and a cache. Requests on
 * different sequences share steps; results do not depend on what shares them, nor on the number of threads.
 */
export class Program implements AsyncDisposable {
  readonly description: ProgramDescription;
  readonly #native: NativeProgram;
  readonly #pending = new Map<number, Pending>();
  #nextRequest = 1;
  #stopped: Promise<void> | undefined;

  /**
   * @throws InvalidArgumentError for a description whose parts do not fit together
   * @throws OutOfMemoryError if the arena or the cache cannot be allocated
   */
  constructor(description: ProgramDescription, options: ProgramOptions = {}) {
    checkOptions(options, ['threads', 'decodeThreads', 'isa', 'debug', 'profile', 'trace', 'draft'], 'new Program()');
    this.description = description;
    const { NativeProgram } = backend().addon;
    this.#native = translateErrors(
      () =>
        new NativeProgram(
          description,
          {
            threads: threadCount('threads', options.threads),
            decodeThreads: threadCount('decodeThreads', options.decodeThreads ?? options.threads),
            isa: options.isa ?? process.env['LLM_ISA'] ?? '',
            debug: options.debug ?? false,
            profile: options.profile ?? false,
            trace: options.trace ?? false,
            draft: options.draft,
          },
          (request, tokens, logProbabilities, end) => {
            this.#deliver(request, tokens, logProbabilities, end);
          },
        ),
    );
  }

  /** The most tokens a sequence can hold. */
  get contextLength(): number {
    return contextLength(this.description);
  }

  /** A new, empty sequence. Its memory is taken as it grows and given back by its `dispose`. */
  createSequence(): Sequence {
    return new Sequence(this.#live(), this.#live().createSequence(), this.description.cache.blockTokens);
  }

  /**
   * Writes a sequence's tokens, keys and values to a file, which appears when it is complete.
   * @throws SequenceBusyError
   */
  saveSequence(sequence: Sequence, path: string): Promise<void> {
    return saveSequence(this.#live(), this.description, sequence.id, path);
  }

  /**
   * A sequence as it was saved, by a program of the same model and kind of cache.
   * @throws SequenceFileError for another model's file or a damaged one, OutOfBlocksError
   */
  async restoreSequence(path: string): Promise<Sequence> {
    const native = this.#live();
    const id = await restoreSequence(native, this.description, path);
    return new Sequence(native, id, this.description.cache.blockTokens);
  }

  /**
   * Runs tokens at the end of a sequence.
   * @returns logits [outputs, vocabularySize], or hidden states [outputs, width of the hidden buffer]
   * @throws ContextOverflowError, OutOfBlocksError, SequenceBusyError, NonFiniteLogitsError, ProgramDisposedError
   */
  async forward(sequence: Sequence, tokens: Int32Array, options: ForwardOptions = {}): Promise<Float32Array> {
    checkOptions(options, ['outputs', 'hidden', 'signal'], 'forward()');
    options.signal?.throwIfAborted();
    this.#checkTokens(tokens);
    const native = this.#live();
    const outputs = outputPositions(options.outputs ?? 'last', tokens.length);
    const hidden = options.hidden ?? false;
    const out = new Float32Array(outputs.length * this.#outputWidth(hidden));
    const { request, end } = this.#open(undefined);
    this.#begin(request, () => {
      native.forward(request, sequence.id, tokens, outputs, hidden, out);
    });
    const cancel = (): void => {
      native.cancel(request);
    };
    options.signal?.addEventListener('abort', cancel, { once: true });
    try {
      if (reasonOf(await end) === 'cancelled') throw options.signal?.reason ?? new ProgramDisposedError();
      backend().refresh(out);
      return out;
    } finally {
      options.signal?.removeEventListener('abort', cancel);
    }
  }

  /**
   * Runs `prompt` at the end of a sequence and goes on with what the model says. `onTokens` hears of the tokens on the
   * event loop, several at once when it is late: the engine does not wait for it. If it throws, the generation ends and
   * `done` rejects with the same error. The last token is delivered, but is not yet part of the sequence.
   */
  generate(
    sequence: Sequence,
    prompt: Int32Array,
    options: GenerateOptions,
    onTokens: (batch: TokenBatch) => void,
  ): GenerationHandle {
    this.#checkTokens(prompt);
    const native = this.#live();
    const { request, end } = this.#open(onTokens);
    this.#begin(request, () => {
      native.generate(request, sequence.id, prompt, nativeGenerateOptions(options));
    });
    return {
      cancel: () => {
        native.cancel(request);
      },
      done: end.then(finishOf),
    };
  }

  /** Time per instruction. Empty unless the program was made with `profile`. */
  profile(): InstructionProfile[] {
    const native = this.#live();
    const names = native.instructionNames();
    return [...native.instructionTimes()].map((seconds, index) => ({ index, name: names[index] ?? '', seconds }));
  }

  /** The last steps, thread by thread: see chromeTrace. Empty unless the program was made with `trace`. */
  trace(): TraceSpan[] {
    const native = this.#live();
    return traceSpans(native.trace(), native.instructionNames());
  }

  stats(): ProgramStats {
    return this.#live().statistics();
  }

  /** Ends running requests with ProgramDisposedError, waits for the thread, and frees arena, cache and weights. */
  dispose(): Promise<void> {
    this.#stopped ??= new Promise((resolve, reject) => {
      this.#pending.set(0, {
        onTokens: undefined,
        resolve: () => {
          resolve();
        },
        reject,
      });
      this.#native.stop();
    });
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #live(): NativeProgram {
    if (this.#stopped) throw new DisposedError('program');
    return this.#native;
  }

  #outputWidth(hidden: boolean): number {
    const { vocabularySize, buffers, hidden: index } = this.description;
    return hidden ? (buffers[index]?.width ?? 0) : vocabularySize;
  }

  #checkTokens(tokens: Int32Array): void {
    const { vocabularySize } = this.description;
    if (tokens.length === 0) throw new InvalidArgumentError('There are no tokens to run.');
    const bad = tokens.find((token) => token < 0 || token >= vocabularySize);
    if (bad !== undefined)
      throw new InvalidArgumentError(`${String(bad)} is no token of a vocabulary of ${String(vocabularySize)}.`);
  }

  #open(onTokens: ((batch: TokenBatch) => void) | undefined): { request: number; end: Promise<NativeEnd> } {
    const request = this.#nextRequest++;
    const end = new Promise<NativeEnd>((resolve, reject) => {
      this.#pending.set(request, { onTokens, resolve, reject });
    });
    return { request, end };
  }

  #begin(request: number, call: () => void): void {
    try {
      translateErrors(call);
    } catch (error) {
      this.#pending.delete(request);
      throw error;
    }
  }

  #deliver(
    request: number,
    tokens: Int32Array | undefined,
    logProbabilities: Float32Array | undefined,
    end: NativeEnd | undefined,
  ): void {
    const pending = this.#pending.get(request);
    if (!pending) return;
    try {
      if (tokens) pending.onTokens?.({ tokens, logProbabilities });
    } catch (error) {
      this.#pending.delete(request);
      pending.reject(error);
      this.#native.cancel(request);
      return;
    }
    if (!end) return;
    this.#pending.delete(request);
    if (end.error === undefined) pending.resolve(end);
    else pending.reject(programError(end));
  }
}

function outputPositions(outputs: 'last' | 'all' | readonly number[], tokens: number): Int32Array {
  if (outputs === 'last') return Int32Array.of(tokens - 1);
  if (outputs === 'all') return Int32Array.from({ length: tokens }, (_, index) => index);
  let previous = -1;
  for (const position of outputs) {
    if (!Number.isInteger(position) || position <= previous || position >= tokens)
      throw new InvalidArgumentError(
        `outputs must be ascending positions below ${String(tokens)}; ${String(position)} is not.`,
      );
    previous = position;
  }
  return Int32Array.from(outputs);
}

/** 0 lets the addon choose. */
function threadCount(name: string, value: number | undefined): number {
  if (value === undefined) return 0;
  if (!Number.isInteger(value) || value < 1 || value > 1024)
    throw new InvalidArgumentError(`${name} must be a whole number from 1 to 1024; ${String(value)} is not.`);
  return value;
}
