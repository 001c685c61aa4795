import type { Scorer } from './scorer.ts';
import type { Answer, Request } from './tasks/task.ts';

/** A request in tokens: the model reads `context`, then each token of `continuation` is scored. */
export interface TokenRequest {
  readonly context: readonly number[];
  readonly continuation: readonly number[];
}

/**
 * Tokens of a continuation request, by the rules of lm-evaluation-harness 0.4: spaces at the context's end move to the
 * continuation; both are encoded together and cut at the context's own length; too long inputs lose their left end.
 */
export function encodeContinuation(scorer: Scorer, context: string, continuation: string): TokenRequest {
  if (context === '') {
    const tokens = scorer.encode(continuation);
    return tokens[0] === scorer.prefixToken
      ? { context: tokens.slice(0, 1), continuation: tokens.slice(1) }
      : clip(scorer, [scorer.prefixToken], tokens);
  }
  const kept = context.trimEnd();
  const moved = context.slice(kept.length) + continuation;
  const head = scorer.encode(kept);
  const whole = scorer.encode(kept + moved);
  return clip(scorer, head, whole.slice(head.length));
}

function clip(scorer: Scorer, context: readonly number[], continuation: readonly number[]): TokenRequest {
  // The last token is never an input, so one more than the context fits.
  const excess = context.length + continuation.length - (scorer.contextLength + 1);
  return { context: excess > 0 ? context.slice(Math.min(excess, context.length - 1)) : context, continuation };
}

/**
 * Windows that score each token of a text exactly once, with as much context as fits: the first predicts from the prefix
 * token, full ones keep one token of context, the last short one reaches back.
 */
export function rollingWindows(tokens: readonly number[], prefixToken: number, length: number): TokenRequest[] {
  const windows: TokenRequest[] = [];
  for (let begin = 0; begin < tokens.length;) {
    const end = Math.min(begin + length, tokens.length);
    if (begin === 0) {
      windows.push({ context: [prefixToken], continuation: tokens.slice(0, end) });
    } else {
      windows.push({ context: tokens.slice(end - length - 1, begin), continuation: tokens.slice(begin, end) });
    }
    begin = end;
  }
  return windows;
}

/** Answers to the requests of one document; requests that share a context share its computation. */
export async function answerRequests(
  scorer: Scorer,
  requests: readonly Request[],
  signal?: AbortSignal,
): Promise<Answer[]> {
  const answers = new Array<Answer>(requests.length);
  const groups = new Map<
    string,
    { context: readonly number[]; items: { index: number; continuation: readonly number[] }[] }
  >();

  for (const [index, request] of requests.entries()) {
    if (request.kind === 'rolling') {
      answers[index] = await answerRolling(scorer, request.text, signal);
      continue;
    }
    const { context, continuation } = encodeContinuation(scorer, request.context, request.continuation);
    const key = context.join();
    const group = groups.get(key) ?? { context, items: [] };
    group.items.push({ index, continuation });
    groups.set(key, group);
  }

  for (const { context, items } of groups.values()) {
    const scores = await scorer.score(
      context,
      items.map((item) => item.continuation),
      signal,
    );
    scores.forEach(({ logProbabilities, greedy }, i) => {
      const item = items[i];
      if (item) answers[item.index] = { logProbability: sum(logProbabilities), greedy };
    });
  }
  return answers;
}

async function answerRolling(scorer: Scorer, text: string, signal?: AbortSignal): Promise<Answer> {
  let logProbability = 0;
  let greedy = true;
  for (const { context, continuation } of rollingWindows(
    scorer.encode(text),
    scorer.prefixToken,
    scorer.contextLength,
  )) {
    const [scores] = await scorer.score(context, [continuation], signal);
    logProbability += sum(scores?.logProbabilities ?? [Number.NaN]);
    greedy &&= scores?.greedy ?? false;
  }
  return { logProbability, greedy };
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] ?? Number.NaN;
  return total;
}
