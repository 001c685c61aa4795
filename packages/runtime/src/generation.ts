import type { GenerationFinish, GenerationHandle, TokenBatch } from '@llm/tensor';
import type { StreamingDecoder } from '@llm/models';

import { StopStrings } from './stop-strings.ts';

/**
 * Why a generation ended: `stop` at the model's end of text or a stop string, `length` at maxTokens, `context` where the
 * context is full, `aborted` where the consumer left.
 */
export type FinishReason = 'stop' | 'length' | 'context' | 'aborted';

export interface Usage {
  /** All tokens that the answer follows, a session's past among them. */
  readonly promptTokens: number;
  /** Those of them that were already in the cache. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** Seconds from the call to the first token. */
  readonly promptSeconds: number;
  /** Seconds from the first token to the last. */
  readonly generateSeconds: number;
  /** Tokens guessed ahead, and those of them that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

/** A piece of an answer as it comes. */
export type GenerationPart =
  | {
      readonly type: 'text-delta';
      /** What the tokens complete; may be empty while a character or a stop string is undecided. */
      readonly text: string;
      readonly tokens: readonly number[];
      /** One per token, if asked for. */
      readonly logProbabilities: readonly number[] | undefined;
    }
  | { readonly type: 'finish'; readonly reason: FinishReason; readonly usage: Usage };

/** What a generation needs of whoever starts it. */
export interface GenerationStart {
  /** Starts the work; `onTokens` hears of each new batch. */
  begin(onTokens: (batch: TokenBatch) => void): GenerationHandle | Promise<GenerationHandle>;
  readonly decoder: StreamingDecoder | undefined;
  readonly stop: readonly string[];
  /** Tokens before the prompt that the sequence held already. */
  readonly cachedTokens: number;
  readonly signal: AbortSignal | undefined;
  /** Called once, when the work is over, however it ended. */
  finished(answer: Answer): void;
}

/** What became of a generation. */
export interface Answer {
  readonly tokens: readonly number[];
  readonly text: string;
  /** Why the engine ended it; undefined after an error. */
  readonly reason: GenerationFinish['reason'] | undefined;
  /** Whether the text says all that the tokens do: nothing was cut off at a stop string or by leaving early. */
  readonly exact: boolean;
}

/**
 * An answer in the making. Iterate it for pieces of text; leaving the loop early stops the work. Or await `text`, `usage` or
 * `finishReason`. Every consumer sees the whole answer, whenever it comes.
 */
export class Generation implements AsyncIterable<string> {
  readonly #parts: GenerationPart[] = [];
  readonly #done: Promise<void>;
  readonly #stop: StopStrings;
  readonly #start: GenerationStart;
  readonly #tokens: number[] = [];
  #text = '';
  /** There only while somebody waits for more. */
  #wake: ReturnType<typeof newSignal> | undefined;
  #handle: GenerationHandle | undefined;
  #left = false;
  #engineReason: GenerationFinish['reason'] | undefined;
  #over = false;

  /** @internal Made by `generate()`. */
  constructor(start: GenerationStart) {
    this.#start = start;
    this.#stop = new StopStrings(start.stop);
    this.#done = this.#run();
    // Whoever awaits a part hears of the error; if nobody does, nobody is to be told.
    this.#done.catch(() => undefined);
  }

  /** The whole answer. */
  get text(): Promise<string> {
    return this.#done.then(() => this.#text);
  }

  /** The ids of the tokens of the answer. */
  get tokens(): Promise<readonly number[]> {
    return this.#done.then(() => this.#tokens);
  }

  get usage(): Promise<Usage> {
    return this.#done.then(() => this.#finish().usage);
  }

  get finishReason(): Promise<FinishReason> {
    return this.#done.then(() => this.#finish().reason);
  }

  /** Pieces with their tokens and log-probabilities, and at the end the reason and the usage. */
  get parts(): AsyncIterable<GenerationPart> {
    return { [Symbol.asyncIterator]: () => this.#iterate((part) => part) };
  }

  [Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    return this.#iterate((part) => (part.type === 'text-delta' && part.text !== '' ? part.text : undefined));
  }

  /** Stops the work. What has come so far stays; the reason is `aborted`. */
  cancel(): void {
    if (this.#over) return;
    this.#left = true;
    this.#handle?.cancel();
  }

  /** @param pick - what is given of a part; undefined for nothing */
  async *#iterate<Item>(pick: (part: GenerationPart) => Item | undefined): AsyncGenerator<Item, void, undefined> {
    let next = 0;
    try {
      for (;;) {
        const part = this.#parts[next];
        if (part) {
          next++;
          const item = pick(part);
          if (item !== undefined) yield item;
        } else if (this.#over) {
          await this.#done;
          return;
        } else await (this.#wake ??= newSignal()).promise;
      }
    } finally {
      this.cancel();
    }
  }

  async #run(): Promise<void> {
    const { signal, decoder } = this.#start;
    const abort = (): void => {
      this.#handle?.cancel();
    };
    try {
      signal?.throwIfAborted();
      signal?.addEventListener('abort', abort, { once: true });
      this.#handle = await this.#start.begin((batch) => {
        this.#take(batch);
      });
      // The signal, or whoever iterates, may have been faster than the start.
      if (this.#left || signal?.aborted) this.#handle.cancel();
      const finish = await this.#handle.done;
      signal?.throwIfAborted();
      if (!this.#stopped()) this.#push(this.#stop.push(decoder?.flush() ?? '') + this.#stop.flush());
      this.#engineReason = finish.reason;
      this.#parts.push({ type: 'finish', reason: this.#reason(finish), usage: this.#usage(finish) });
    } finally {
      this.#over = true;
      signal?.removeEventListener('abort', abort);
      const reason = this.#engineReason;
      const exact = reason !== undefined && reason !== 'cancelled' && !this.#stopped();
      this.#start.finished({ tokens: this.#tokens, text: this.#text, reason, exact });
      this.#awake();
    }
  }

  #take({ tokens, logProbabilities }: TokenBatch): void {
    if (this.#stopped() || this.#left) return;
    for (const [index, token] of tokens.entries()) {
      this.#tokens.push(token);
      const text = this.#stop.push(this.#start.decoder?.push(token) ?? '');
      this.#push(text, [token], logProbabilities && [logProbabilities[index] ?? NaN]);
      if (!this.#stopped()) continue;
      this.#handle?.cancel();
      return;
    }
  }

  #push(text: string, tokens: readonly number[] = [], logProbabilities?: readonly number[]): void {
    if (text === '' && tokens.length === 0) return;
    this.#text += text;
    this.#parts.push({ type: 'text-delta', text, tokens, logProbabilities });
    this.#awake();
  }

  #awake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.resolve();
  }

  #stopped(): boolean {
    return this.#stop.found !== undefined;
  }

  #reason({ reason }: GenerationFinish): FinishReason {
    if (this.#stopped()) return 'stop';
    return reason === 'cancelled' ? 'aborted' : reason;
  }

  #usage(finish: GenerationFinish): Usage {
    return {
      promptTokens: this.#start.cachedTokens + finish.promptTokens,
      cachedTokens: this.#start.cachedTokens + finish.reusedTokens,
      generatedTokens: this.#tokens.length,
      promptSeconds: finish.promptSeconds,
      generateSeconds: finish.generateSeconds,
      draftedTokens: finish.draftedTokens,
      acceptedTokens: finish.acceptedTokens,
    };
  }

  #finish(): Extract<GenerationPart, { type: 'finish' }> {
    const part = this.#parts.at(-1);
    if (part?.type !== 'finish') throw new TypeError('A generation that is done has a finish.');
    return part;
  }
}

/** A promise that its owner resolves. Promise.withResolvers, which Node 20 lacks. */
function newSignal(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
