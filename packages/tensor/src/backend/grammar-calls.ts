/** native/addon/grammar_binding.cc: a grammar over a vocabulary; texts under it are numbers. */
export interface NativeGrammar {
  begin(): number;
  fork(text: number): number;
  release(text: number): void;
  allowed(text: number, out: Uint32Array): void;
  accept(text: number, token: number): boolean;
  canEnd(text: number): boolean;
}

export interface GrammarCalls {
  readonly NativeGrammar: new (
    grammar: string,
    bytes: Uint8Array,
    offsets: Int32Array,
    endTokens: Int32Array,
  ) => NativeGrammar;
}
