import { InvalidArgumentError } from './errors.ts';
import { checkOptions } from './options.ts';
import type { Program } from './program.ts';
import { sampleToken } from './sampling.ts';
import type { Sequence } from './sequence.ts';

export interface BeamSearchOptions {
  /** Texts followed at the same time. */
  readonly beams: number;
  /** The most tokens to generate. */
  readonly maxTokens: number;
  /** A text ends at one of these, which is not among its tokens but counts in its score. */
  readonly endTokens?: readonly number[];
  /**
   * Texts are ranked by the sum of their tokens' log-probabilities over their length to this power; above 0 favours longer
   * ones. Default 1. At least 0.
   */
  readonly lengthPenalty?: number;
  /** How many texts to return, up to `beams`; default 1. */
  readonly returned?: number;
  readonly signal?: AbortSignal;
}

export interface Hypothesis {
  readonly tokens: readonly number[];
  /** The natural logarithm of the probability of the tokens, and of the end token if it `ended`. */
  readonly logProbability: number;
  /** What the texts are ranked by. */
  readonly score: number;
  /** An end token came; otherwise the text was cut at maxTokens. */
  readonly ended: boolean;
}

interface Beam {
  readonly sequence: Sequence;
  readonly tokens: readonly number[];
  readonly logProbability: number;
}

interface Candidate {
  readonly beam: number;
  readonly token: number;
  readonly logProbability: number;
}

const optionNames = ['beams', 'maxTokens', 'endTokens', 'lengthPenalty', 'returned', 'signal'];

/**
 * The likeliest texts after a prompt, as far as beam search finds them; the best first. Beams share the prompt's part of the
 * cache and each other's. Stops early once no text that is being followed can beat those that have ended.
 * @throws what {@link Program.forward} throws, and `signal.reason`
 */
export async function beamSearch(
  program: Program,
  prompt: Int32Array,
  options: BeamSearchOptions,
): Promise<Hypothesis[]> {
  checkOptions(options, optionNames, 'beamSearch()');
  const { beams: width, maxTokens, endTokens = [], lengthPenalty = 1, returned = 1, signal } = options;
  for (const [name, value] of Object.entries({ beams: width, maxTokens, returned }))
    if (!Number.isInteger(value) || value < 1)
      throw new InvalidArgumentError(`${name} must be a whole number from 1; ${String(value)} is not.`);
  if (!(lengthPenalty >= 0) || returned > width)
    throw new InvalidArgumentError('lengthPenalty must be at least 0, and returned at most beams.');

  const end = new Set(endTokens);
  const rated = (hypothesis: Omit<Hypothesis, 'score'>): Hypothesis => {
    const length = hypothesis.tokens.length + (hypothesis.ended ? 1 : 0);
    return { ...hypothesis, score: hypothesis.logProbability / length ** lengthPenalty };
  };
  const finished: Hypothesis[] = [];
  let beams: Beam[] = [{ sequence: program.createSequence(), tokens: [], logProbability: 0 }];
  try {
    for (let length = 1; length <= maxTokens && beams.length > 0; length++) {
      const rows = await Promise.all(
        beams.map(({ sequence, tokens }) =>
          program.forward(
            sequence,
            length === 1 ? prompt : Int32Array.from(tokens.slice(-1)),
            signal ? { signal } : {},
          ),
        ),
      );
      const ranked = rows
        .flatMap((logits, beam): Candidate[] =>
          extensions(logits, beams[beam]?.logProbability ?? 0, beam, width + end.size),
        )
        .sort((a, b) => b.logProbability - a.logProbability || a.beam - b.beam || a.token - b.token);

      // An end counts only among the best: otherwise a text would end because nothing else was left to rank.
      for (const { beam, token, logProbability } of ranked.slice(0, width))
        if (end.has(token)) finished.push(rated({ tokens: beams[beam]?.tokens ?? [], logProbability, ended: true }));
      beams = advance(beams, ranked.filter(({ token }) => !end.has(token)).slice(0, width));

      finished.sort((a, b) => b.score - a.score).splice(width);
      const worst = finished.length === width ? (finished.at(-1)?.score ?? -Infinity) : -Infinity;
      // A sum only falls; no length makes more of it than the longest.
      if (worst >= (beams[0]?.logProbability ?? -Infinity) / maxTokens ** lengthPenalty) break;
    }
    const cut = beams
      .filter(({ tokens }) => tokens.length === maxTokens)
      .map(({ tokens, logProbability }) => rated({ tokens, logProbability, ended: false }));
    return [...finished, ...cut].sort((a, b) => b.score - a.score).slice(0, returned);
  } finally {
    for (const { sequence } of beams) sequence[Symbol.dispose]();
  }
}

function extensions(logits: Float32Array, before: number, beam: number, count: number): Candidate[] {
  const { top } = sampleToken(logits, { temperature: 0, topLogProbabilities: count });
  return top.map(({ token, logProbability }) => ({ beam, token, logProbability: before + logProbability }));
}

/** The chosen extensions as beams. A beam's sequence goes to its first extension, the others get forks of it. */
function advance(beams: readonly Beam[], chosen: readonly Candidate[]): Beam[] {
  const taken = new Set<number>();
  const next = chosen.flatMap(({ beam, token, logProbability }): Beam[] => {
    const parent = beams[beam];
    if (parent === undefined) return [];
    const sequence = taken.has(beam) ? parent.sequence.fork() : parent.sequence;
    taken.add(beam);
    return [{ sequence, tokens: [...parent.tokens, token], logProbability }];
  });
  beams.forEach(({ sequence }, beam) => {
    if (!taken.has(beam)) sequence[Symbol.dispose]();
  });
  return next;
}
