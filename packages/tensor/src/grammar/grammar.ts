import type { NativeGrammar, NativeVocabulary } from '../backend/grammar-calls.ts';
import { backend } from '../backend/load.ts';
import { LlmError } from '../errors.ts';
import { translateErrors } from '../backend/translate-errors.ts';

/** What tokens stand for. */
export interface GrammarVocabulary {
  /**
   * The bytes of every token, by id; undefined or empty for those that are not text, such as control tokens. Must not change:
   * what is made of a list is kept for further grammars over the same list.
   */
  readonly tokens: readonly (Uint8Array | undefined)[];
  /** Tokens that end a text; they may come where the grammar is complete. */
  readonly endTokens: readonly number[];
}

/** The text is no grammar. */
export class InvalidGrammarError extends LlmError {
  /** From 1; undefined if the grammar as a whole is meant. */
  readonly line: number | undefined;

  constructor(reason: string, line: number | undefined, options?: ErrorOptions) {
    super('INVALID_GRAMMAR', `This is no grammar${line ? `, line ${String(line)}` : ''}: ${reason}.`, options);
    this.line = line;
  }
}

/**
 * A form that generated texts must have, over a vocabulary. Masks of allowed tokens are computed on first use and kept, so
 * make one grammar and begin many texts.
 *
 * The notation is GBNF (of llama.cpp): rules `name ::= ...` of "literals", [classes], [^negated], . for any character,
 * (groups), * + ? {m,n} and |; `root` is the whole text.
 */
export class Grammar {
  readonly vocabularySize: number;
  /** @internal */
  readonly native: NativeGrammar;

  /** @throws {@link InvalidGrammarError} if the source is no grammar, or a rule can begin with itself */
  constructor(source: string, vocabulary: GrammarVocabulary) {
    const { tokens, endTokens } = vocabulary;
    this.vocabularySize = tokens.length;
    const { NativeGrammar } = backend().addon;
    try {
      this.native = translateErrors(
        () => new NativeGrammar(source, nativeVocabulary(tokens), Int32Array.from(endTokens)),
      );
    } catch (error) {
      if (!LlmError.isInstance(error) || error.code !== 'INVALID_GRAMMAR') throw error;
      const line = (error.cause as { detail?: number }).detail;
      throw new InvalidGrammarError(error.message, line === 0 ? undefined : line, { cause: error });
    }
  }

  /** A text of which nothing is written yet. */
  begin(): GrammarText {
    return new GrammarText(this.native, this.native.begin(), this.vocabularySize);
  }
}

/** By their lists of tokens, which grammars over the same vocabulary share. */
const vocabularies = new WeakMap<GrammarVocabulary['tokens'], NativeVocabulary>();

function nativeVocabulary(tokens: GrammarVocabulary['tokens']): NativeVocabulary {
  const known = vocabularies.get(tokens);
  if (known) return known;
  const offsets = new Int32Array(tokens.length + 1);
  tokens.forEach((token, id) => {
    offsets[id + 1] = (offsets[id] ?? 0) + (token?.length ?? 0);
  });
  const bytes = new Uint8Array(offsets[tokens.length] ?? 0);
  tokens.forEach((token, id) => {
    if (token !== undefined) bytes.set(token, offsets[id]);
  });
  const { NativeVocabulary } = backend().addon;
  const made = translateErrors(() => new NativeVocabulary(bytes, offsets));
  vocabularies.set(tokens, made);
  return made;
}

/** One text under a grammar, as far as it is written. */
export class GrammarText {
  readonly #native: NativeGrammar;
  readonly #number: number;
  readonly #vocabularySize: number;

  /** @internal */
  constructor(native: NativeGrammar, number: number, vocabularySize: number) {
    this.#native = native;
    this.#number = number;
    this.#vocabularySize = vocabularySize;
  }

  /** Bit t % 32 of word t / 32: token t may come next. For the option `allowed` of sampleToken(). */
  allowed(): Uint32Array<ArrayBuffer> {
    const out = new Uint32Array(Math.ceil(this.#vocabularySize / 32));
    translateErrors(() => {
      this.#native.allowed(this.#number, out);
    });
    return out;
  }

  /** Writes a token. False, and nothing changes, if it may not come. */
  accept(token: number): boolean {
    return translateErrors(() => this.#native.accept(this.#number, token));
  }

  /** Whether the text is complete as it is. */
  get canEnd(): boolean {
    return translateErrors(() => this.#native.canEnd(this.#number));
  }

  /** Another text that goes on from here. */
  fork(): GrammarText {
    const number = translateErrors(() => this.#native.fork(this.#number));
    return new GrammarText(this.#native, number, this.#vocabularySize);
  }

  [Symbol.dispose](): void {
    this.#native.release(this.#number);
  }
}
