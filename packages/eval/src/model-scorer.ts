import type { Model } from '@llm/runtime';
import type { Sequence } from '@llm/tensor';
import { normalizer } from './normalizer.ts';
import type { Scorer, TokenScores } from './scorer.ts';

/** Lets a model be evaluated. A context that several continuations share is run once; each goes on from its cache. */
export function modelScorer(model: Model): Scorer {
  const { program, vocabularySize } = model;

  const alone = async (
    context: readonly number[],
    continuation: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<TokenScores> => {
    const { logProbabilities, greedy } = await model.score(context, continuation, signal ? { signal } : {});
    return { logProbabilities, greedy };
  };

  const shared = async (
    context: readonly number[],
    continuations: readonly (readonly number[])[],
    signal: AbortSignal | undefined,
  ): Promise<TokenScores[]> => {
    const options = signal ? { signal } : {};
    using trunk = program.createSequence();
    const first = await program.forward(trunk, Int32Array.from(context), options);
    const branches: { branch: Sequence; continuation: readonly number[] }[] = [];
    try {
      for (const continuation of continuations) branches.push({ branch: trunk.fork(), continuation });
      return await Promise.all(
        branches.map(async ({ branch, continuation }) => {
          const inputs = Int32Array.from(continuation.slice(0, -1));
          const rest =
            inputs.length === 0
              ? new Float32Array()
              : await program.forward(branch, inputs, { ...options, outputs: 'all' });
          return readScores(first, rest, continuation, vocabularySize);
        }),
      );
    } finally {
      for (const { branch } of branches) branch.dispose();
    }
  };

  return {
    contextLength: model.contextLength,
    prefixToken: model.prefixToken,
    vocabularySize,
    encode: (text) => model.tokenizer.encode(text),
    score: async (context, continuations, signal) => {
      const longest = Math.max(...continuations.map((continuation) => continuation.length));
      const branching = continuations.length > 1 && context.length + longest - 1 <= model.contextLength;
      if (branching && continuations.every((continuation) => continuation.length > 0))
        return shared(context, continuations, signal);
      const scores: TokenScores[] = [];
      for (const continuation of continuations) scores.push(await alone(context, continuation, signal));
      return scores;
    },
    logits: (tokens) => model.logits(tokens, { positions: 'all' }),
  };
}

/** The first token is told by the context's last logits, each other by the row of the token before it. */
function readScores(
  first: Float32Array,
  rest: Float32Array,
  continuation: readonly number[],
  vocabularySize: number,
): TokenScores {
  let greedy = true;
  const logProbabilities = continuation.map((token, i) => {
    const row = i === 0 ? first : rest.subarray((i - 1) * vocabularySize, i * vocabularySize);
    const { log, likeliest } = normalizer(row);
    greedy &&= likeliest === token;
    return (row[token] ?? Number.NaN) - log;
  });
  return { logProbabilities, greedy };
}
