import { EmptyContinuationError } from './errors.ts';
import { argmax, logProbability } from './log-softmax.ts';
import { tokenizerOf, type Language } from './prompt.ts';

/** How likely a model finds a continuation. */
export interface Score {
  /** Natural logarithms, one per token of the continuation. Their sum is the log-likelihood. */
  readonly logProbabilities: number[];
  /** The ids of the continuation. */
  readonly tokens: number[];
  /** Whether greedy decoding would have said exactly this. */
  readonly greedy: boolean;
}

/** Ids of a context and of what follows it, ready to be scored. */
export interface ScoreRequest {
  readonly context: readonly number[];
  readonly continuation: readonly number[];
}

/**
 * Splits text into the tokens of a context and of its continuation as lm-evaluation-harness 0.4 does: spaces at the end of the
 * context go to the continuation, and the continuation's tokens are those of the whole text beyond as many as the context has.
 * An empty context stands for the model's begin (or end) of text.
 */
export function scoreRequest(
  context: string | readonly number[],
  continuation: string | readonly number[],
  language: Language,
  prefix: number,
): ScoreRequest {
  if (typeof context !== 'string' || typeof continuation !== 'string') {
    const ids = (text: string | readonly number[], addSpecialTokens: boolean): readonly number[] =>
      typeof text === 'string' ? tokenizerOf(language).encode(text, { addSpecialTokens }) : text;
    return withPrefix(ids(context, true), ids(continuation, false), prefix);
  }
  const tokenizer = tokenizerOf(language);
  if (context === '') return withPrefix([], tokenizer.encode(continuation, { addSpecialTokens: false }), prefix);
  const trimmed = context.trimEnd();
  const whole = tokenizer.encode(context + continuation);
  const head = tokenizer.encode(trimmed);
  return withPrefix(head, whole.slice(head.length), prefix);
}

/** Without a context, a begin token stands in; where the continuation starts with it, that one is the context. */
function withPrefix(context: readonly number[], continuation: readonly number[], prefix: number): ScoreRequest {
  if (context.length > 0) return { context, continuation };
  return continuation[0] === prefix
    ? { context: [prefix], continuation: continuation.slice(1) }
    : { context: [prefix], continuation };
}

/** The tokens to run and which of their outputs tell about the continuation; cut on the left to what the context holds. */
export function scoreInputs(
  { context, continuation }: ScoreRequest,
  contextLength: number,
): { ids: Int32Array; outputs: number[]; scored: number[] } {
  if (continuation.length === 0) throw new EmptyContinuationError();
  const whole = [...context, ...continuation].slice(-(contextLength + 1));
  const ids = Int32Array.from(whole.slice(0, -1));
  const count = Math.min(continuation.length, ids.length);
  return {
    ids,
    outputs: Array.from({ length: count }, (_, i) => ids.length - count + i),
    scored: whole.slice(-count),
  };
}

/** Reads the score out of logits [scored tokens, vocabulary]. */
export function scoreOf(logits: Float32Array, scored: readonly number[]): Score {
  const vocabulary = logits.length / scored.length;
  const rows = scored.map((_, i) => logits.subarray(i * vocabulary, (i + 1) * vocabulary));
  return {
    logProbabilities: scored.map((token, i) => logProbability(rows[i] ?? logits, token)),
    tokens: [...scored],
    greedy: scored.every((token, i) => argmax(rows[i] ?? logits) === token),
  };
}
