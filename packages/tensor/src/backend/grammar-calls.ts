/** native/addon/grammar_binding.cc: a grammar over a vocabulary; texts under it are numbers. */
export interface NativeGrammar {
  begin(): number;
  fork(text: number): number;
  release(text: number): void;
  allowed(text: number, out: Uint32Array): void;
  accept(text: number, token: number): boolean;
  canEnd(text: number): boolean;
}

declare const nativeVocabulary: unique symbol;

/** The tokens of a vocabulary, for any number of grammars. */
export interface NativeVocabulary {
  readonly [nativeVocabulary]: true;
}

export interface GrammarCalls {
  /** Token t is bytes[offsets[t]] to bytes[offsets[t + 1]]. */
  readonly NativeVocabulary: new (bytes: Uint8Array, offsets: Int32Array) => NativeVocabulary;
  readonly NativeGrammar: new (grammar: string, vocabulary: NativeVocabulary, endTokens: Int32Array) => NativeGrammar;
}
