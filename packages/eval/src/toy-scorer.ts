import type { Scorer, TokenScores } from './scorer.ts';

/**
 * A model small enough to check by hand, for tests: characters a to z and space are tokens 1 to 27, 0 stands before a text,
 * and the next token depends on the last one only.
 */
export function toyScorer(options: { contextLength?: number; shift?: number } = {}): Scorer & { calls: number[][] } {
  const vocabularySize = 28;
  const logit = (last: number, next: number): number => Math.sin(last * 3 + next * 7 + (options.shift ?? 0)) * 2;
  const row = (last: number): Float32Array =>
    Float32Array.from({ length: vocabularySize }, (_, next) => logit(last, next));
  const calls: number[][] = [];

  const scoreOne = (context: readonly number[], continuation: readonly number[]): TokenScores => {
    let last = context.at(-1) ?? Number.NaN;
    let greedy = true;
    const logProbabilities = continuation.map((token) => {
      const logits = row(last);
      const log = Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0));
      greedy &&= Math.max(...logits) === logits[token];
      last = token;
      return (logits[token] ?? Number.NaN) - log;
    });
    return { logProbabilities, greedy };
  };

  return {
    calls,
    contextLength: options.contextLength ?? 64,
    prefixToken: 0,
    vocabularySize,
    encode: (text) => Array.from(text, (c) => (c === ' ' ? 27 : c.charCodeAt(0) - 96)),
    score: (context, continuations) => {
      calls.push([...context]);
      return Promise.resolve(continuations.map((continuation) => scoreOne(context, continuation)));
    },
    logits: (tokens) => Promise.resolve(Float32Array.from(tokens.flatMap((token) => Array.from(row(token))))),
  };
}
