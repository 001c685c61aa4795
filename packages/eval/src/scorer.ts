/** What evaluation needs of a model; `Model` of @llm/runtime has it. */
export interface Scorer {
  /** The most tokens of one input. */
  readonly contextLength: number;
  /** The token that stands before a text without context: begin-of-text, or end-of-text where there is none. */
  readonly prefixToken: number;
  readonly vocabularySize: number;
  /** With the special tokens that the tokenizer itself adds. */
  encode(text: string): number[];
  /**
   * Natural log-probabilities of every token of each continuation after one common context of at least one token.
   * A context shared by several continuations is computed once.
   */
  score(
    context: readonly number[],
    continuations: readonly (readonly number[])[],
    signal?: AbortSignal,
  ): Promise<TokenScores[]>;
  /** Logits [positions x vocabulary] of all positions of one input. */
  logits(tokens: readonly number[]): Promise<Float32Array>;
}

export interface TokenScores {
  readonly logProbabilities: ArrayLike<number>;
  /** Whether every token was the likeliest at its place. */
  readonly greedy: boolean;
}
