/** Text to token ids and back. */
export interface Tokenizer {
  /** Ids from 0 to this are valid. */
  readonly vocabularySize: number;

  /** `addSpecialTokens` (default true): put in front and behind what the tokenizer itself adds, such as a begin token. */
  encode(text: string, options?: EncodeOptions): number[];

  /** `skipSpecialTokens` (default true): leave out begin, end and other control tokens. */
  decode(ids: readonly number[], options?: DecodeOptions): string;

  /** The id of a whole token as the vocabulary spells it, such as `</s>`; undefined if there is none. */
  tokenToId(token: string): number | undefined;

  /** The vocabulary's spelling of an id; undefined outside the vocabulary. */
  idToToken(id: number): string | undefined;

  /**
   * The bytes that a token adds to a text; may be part of a character. Undefined for control tokens, outside the vocabulary,
   * and where tokens have no bytes of their own (WordPiece and the like).
   */
  tokenBytes(id: number): Uint8Array | undefined;

  /** A decoder for one growing text: pushes give the text that is complete so far, and never half a character. */
  streamingDecoder(options?: DecodeOptions): StreamingDecoder;
}

export interface EncodeOptions {
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  readonly skipSpecialTokens?: boolean;
}

export interface StreamingDecoder {
  /** Takes the next id and returns the text that it completes, possibly none. */
  push(id: number): string;
  /** Returns what is held back; bytes that never became a character come out as U+FFFD. */
  flush(): string;
}
