import { TokenizerError } from '../errors.ts';
import { bytePairsOf } from './byte-pairs.ts';
import { decodingPlan, type DecodingPlan } from './decoding-plan.ts';
import { forLibrary } from './library-repairs.ts';
import { LibraryTokenizer } from './library.ts';
import { ByteStreamingDecoder, WholeStreamingDecoder } from './streaming-decoder.ts';
import type { AddedTokenJson, TokenizerJson } from './tokenizer-json.ts';
import type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from './tokenizer.ts';

/** A tokenizer.json, run by Hugging Face's JavaScript library; decoding is our own, so that a stream and a whole text agree. */
export class HuggingFaceTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly #library: LibraryTokenizer;
  readonly #plan: DecodingPlan | undefined;
  readonly #added: ReadonlyMap<number, AddedTokenJson>;
  readonly #bytes = new Map<number, Uint8Array>();

  /** `path` is where the tokenizer comes from, for errors. Throws `TokenizerError`. */
  constructor(path: string, json: TokenizerJson, config: Readonly<Record<string, unknown>> = {}) {
    const known = forLibrary(json);
    try {
      this.#library = new LibraryTokenizer(known, { ...config, clean_up_tokenization_spaces: false });
    } catch (cause) {
      throw new TokenizerError(path, `this tokenizer cannot be built (${(cause as Error).message})`, { cause });
    }
    const { model } = this.#library;
    const pairs = bytePairsOf(known.model, model.tokens_to_ids);
    // The library's own merging is slow for words that are whole texts.
    if (pairs) model.bpe = (word) => pairs.split(word);
    this.#plan = decodingPlan(known.decoder);
    this.#added = new Map(known.added_tokens.map((token) => [token.id, token]));
    let largest = -1;
    for (const id of this.#library.get_vocab(true).values()) largest = Math.max(largest, id);
    this.vocabularySize = largest + 1;
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    return this.#library.encode(text, { add_special_tokens: options.addSpecialTokens ?? true }).ids;
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const decoder = this.#plan ? this.streamingDecoder(options) : undefined;
    if (!decoder) return this.#decodeWhole(ids, options);
    let text = '';
    for (const id of ids) text += decoder.push(id);
    return text + decoder.flush();
  }

  tokenToId(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  idToToken(id: number): string | undefined {
    return this.#library.id_to_token(id);
  }

  tokenBytes(id: number): Uint8Array | undefined {
    return this.#plan && this.#tokenBytes(this.#plan, id, true);
  }

  streamingDecoder(options: DecodeOptions = {}): StreamingDecoder {
    const plan = this.#plan;
    if (!plan) return new WholeStreamingDecoder((ids) => this.#decodeWhole(ids, options));
    const skip = options.skipSpecialTokens ?? true;
    return new ByteStreamingDecoder((id) => this.#tokenBytes(plan, id, skip), plan.stripSpaces);
  }

  #tokenBytes(plan: DecodingPlan, id: number, skipSpecialTokens: boolean): Uint8Array | undefined {
    const added = this.#added.get(id);
    if (added?.special && skipSpecialTokens) return undefined;
    let bytes = this.#bytes.get(id);
    if (!bytes) {
      const token = this.#library.id_to_token(id);
      if (token === undefined) return undefined;
      bytes = added ? new TextEncoder().encode(added.content) : plan.tokenBytes(token);
      this.#bytes.set(id, bytes);
    }
    return bytes;
  }

  #decodeWhole(ids: readonly number[], options: DecodeOptions): string {
    const known = ids.filter((id) => this.#library.id_to_token(id) !== undefined);
    if (known.length === 0) return '';
    return this.#library.decode(known, {
      skip_special_tokens: options.skipSpecialTokens ?? true,
      clean_up_tokenization_spaces: false,
    });
  }
}
