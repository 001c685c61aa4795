import type { ChatMessage } from '@llm/models';
import { DisposedError, SequenceBusyError, type Sequence } from '@llm/tensor';

import type { Answer, Generation } from './generation.ts';
import type { LoadedModel } from './load.ts';
import { checkGenerateOptions, type GenerateOptions } from './options.ts';
import {
  checkTokens,
  decoderAfter,
  encodeContinuation,
  encodePrompt,
  isTokens,
  renderMessages,
  tokenizerOf,
  type Language,
  type Prompt,
} from './prompt.ts';
import { writeSession, type SavedSession, type Transcript } from './saved-session.ts';
import { grammarOf, startGeneration } from './start-generation.ts';

/**
 * A conversation or a growing text. Its keys and values stay in the cache between turns, so that each turn costs only its own
 * tokens. Made by {@link Model.session}.
 */
export class Session implements Disposable {
  readonly #loaded: LoadedModel;
  readonly #language: Language;
  readonly #sequence: Sequence;
  readonly #onDispose: (session: Session) => void;
  readonly #adopt: (session: Session) => void;
  #ids: readonly number[] = [];
  #messages: readonly ChatMessage[] = [];
  #transcript: Transcript | undefined;
  #running: Generation | undefined;
  #busy = false;
  #disposed = false;

  /** @internal */
  constructor(
    loaded: LoadedModel,
    language: Language,
    sequence: Sequence,
    owner: { readonly adopt: (session: Session) => void; readonly forget: (session: Session) => void },
  ) {
    this.#loaded = loaded;
    this.#language = language;
    this.#sequence = sequence;
    this.#adopt = owner.adopt;
    this.#onDispose = owner.forget;
    owner.adopt(this);
  }

  /** The conversation so far, answers included. Empty for a session that was given plain text. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** All tokens so far, answers included. */
  get tokens(): readonly number[] {
    return this.#ids;
  }

  /**
   * Goes on with the session: messages are added to the conversation and answered; a text or tokens are added to the end and
   * continued. What the cache holds already is not computed again.
   * @throws {@link SequenceBusyError} while the last answer is still being made, {@link ContextOverflowError}, and what
   * {@link Model.generate} throws
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    this.#check();
    checkGenerateOptions(options);
    const turn = this.#fit(this.#turn(prompt), options);
    const { program } = this.#loaded;
    checkTokens(turn.ids, this.#loaded.contextLength, program.description.vocabularySize);
    const grammar = grammarOf(this.#loaded, options);
    this.#sequence.truncate(turn.shared);
    const rest = Int32Array.from(turn.ids.slice(turn.shared));
    this.#busy = true;
    const decoder = decoderAfter(turn.chat ? [] : turn.ids, this.#language);
    const finished = (answer: Answer): void => {
      this.#busy = false;
      if (!this.#disposed) this.#finish(turn, answer);
    };
    const beginning = { sequence: this.#sequence, prompt: rest, decoder, grammar, finished };
    this.#running = startGeneration(this.#loaded, beginning, options);
    return this.#running;
  }

  /**
   * A second session with the same past. They share memory until they go on differently.
   * @throws {@link SequenceBusyError}
   */
  fork(): Session {
    this.#check();
    const owner = { adopt: this.#adopt, forget: this.#onDispose };
    const copy = new Session(this.#loaded, this.#language, this.#sequence.fork(), owner);
    copy.#ids = this.#ids;
    copy.#messages = this.#messages;
    copy.#transcript = this.#transcript;
    return copy;
  }

  /**
   * Writes the session to a folder, for {@link Model.restoreSession}.
   * @throws {@link SequenceBusyError}, {@link WriteError}
   */
  async save(folder: string): Promise<void> {
    this.#check();
    const state: SavedSession = {
      version: 1,
      ids: this.#ids,
      messages: this.#messages,
      ...(this.#transcript && { transcript: this.#transcript }),
    };
    await writeSession(folder, state, (path) => this.#loaded.program.saveSequence(this.#sequence, path));
  }

  /** @internal Takes over what was saved. */
  resume(state: SavedSession): void {
    this.#ids = state.ids;
    this.#messages = state.messages;
    this.#transcript = state.transcript;
  }

  /** Forgets everything, so that the session can be used anew. */
  reset(): void {
    this.#check();
    this.#sequence.truncate(0);
    this.#ids = [];
    this.#messages = [];
    this.#transcript = undefined;
  }

  /** Stops what is running and frees the cache. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#running?.cancel();
    this.#sequence.dispose();
    this.#onDispose(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(): void {
    if (this.#disposed) throw new DisposedError('session');
    if (this.#busy) throw new SequenceBusyError();
  }

  #turn(prompt: Prompt): Turn {
    if (isTokens(prompt)) return { ids: [...this.#ids, ...prompt] };
    if (typeof prompt !== 'string') return this.#chatTurn([...this.#messages, ...prompt]);
    const ids =
      this.#ids.length === 0
        ? encodePrompt(prompt, this.#language)
        : encodeContinuation(prompt, tokenizerOf(this.#language));
    return { ids: [...this.#ids, ...ids] };
  }

  /**
   * The whole conversation as the template writes it. As far as that begins with the text of earlier turns, their tokens are
   * kept as they were generated: reading an answer's text again may give other ones.
   */
  #chatTurn(messages: readonly ChatMessage[]): Turn {
    const text = renderMessages(messages, this.#language);
    const tokenizer = tokenizerOf(this.#language);
    const known = this.#transcript && text.startsWith(this.#transcript.text) ? this.#transcript : undefined;
    const ids = known
      ? [...known.ids, ...encodeContinuation(text.slice(known.text.length), tokenizer)]
      : tokenizer.encode(text, { addSpecialTokens: false });
    return { ids, chat: { messages, text } };
  }

  /** What the cache has of a turn; older tokens are forgotten if they may be and the turn does not fit otherwise. */
  #fit(turn: Turn, { contextShift }: GenerateOptions): FittedTurn {
    // The last token has to run again even if the cache knows it, since its logits are wanted.
    const shared = Math.min(commonLength(this.#sequence.tokens(), turn.ids), turn.ids.length - 1);
    const missing = turn.ids.length - this.#loaded.contextLength;
    if (!contextShift || missing <= 0 || shared === 0) return { ...turn, shared };
    const { blockTokens } = this.#loaded.program.description.cache;
    const keep = Math.ceil(contextShift.keep / blockTokens) * blockTokens;
    const drop = Math.ceil(Math.max(missing, (shared - keep) / 2) / blockTokens) * blockTokens;
    if (keep + drop > shared) return { ...turn, shared };
    this.#sequence.truncate(shared);
    this.#sequence.shift(keep, drop);
    const ids = [...this.#sequence.tokens(), ...turn.ids.slice(shared)];
    return { ...turn, ids, shared: shared - drop };
  }

  #finish({ ids, chat }: Turn, { tokens, text, reason, exact }: Answer): void {
    const all = [...ids, ...tokens];
    const cached = this.#sequence.tokens();
    const shifted = commonLength(cached, all) < Math.min(cached.length, all.length);
    // A token that ended the generation by its number is the only one that has not run.
    this.#ids = shifted ? [...cached, ...(reason === 'length' ? tokens.slice(-1) : [])] : all;
    if (!chat) return;
    this.#messages = [...chat.messages, { role: 'assistant', content: text }];
    if (exact) this.#transcript = { text: chat.text + text, ids: this.#ids };
    else this.#transcript = shifted ? undefined : { text: chat.text, ids };
  }
}

interface Turn {
  readonly ids: readonly number[];
  readonly chat?: { readonly messages: readonly ChatMessage[]; readonly text: string };
}

/** `shared` tokens of it are in the cache. */
interface FittedTurn extends Turn {
  readonly shared: number;
}

function commonLength(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
