import { architectureOf } from '@llm/models';
import { InvalidOptionError, probeReadBandwidth, type Program } from '@llm/tensor';
import { promptTokens, work } from './benchmark.ts';
import { shapeNamed } from './shapes.ts';
import { spread, type Spread } from './statistics.ts';
import { SyntheticWeights } from './synthetic-weights.ts';

/** The shapes of Table 3 of "Efficient LLM Inference on CPUs" (Shen et al., 2023), those of one size once. */
export const articleShapes: readonly string[] = ['gpt-j-6b', 'llama-2-7b', 'falcon-7b', 'gpt-neox-20b'];

/** Bytes of a named shape's weights in 4 bits, symmetric, head and embedding too. @throws InvalidOptionError */
export function syntheticBytes(name: string, groupSize: number): number {
  const config = shapeNamed(name);
  const { graph } = architectureOf(config).build(config);
  using weights = new SyntheticWeights(graph, { format: 'int4-sym', groupSize });
  return weights.totalBytes;
}

export interface TurnOptions {
  /** Tokens of the prompt; default 32. */
  readonly prompt?: number;
  /** Tokens written, at least 2: one has no next. Default 32. */
  readonly generate?: number;
  /** Turns that are measured, after one that warms up; default 3. */
  readonly rounds?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/** A short question and its answer, as a user waits for it. Milliseconds. */
export interface Turn {
  readonly prompt: number;
  readonly generate: number;
  /** From the call to the first token. */
  readonly firstToken: Spread;
  /** Mean time of the tokens after the first, of each turn. */
  readonly nextToken: Spread;
  /** Weights that a token streams. */
  readonly bytesPerToken: number;
  /** Bytes per second, probed before and after each turn. */
  readonly readBandwidth: Spread;
  /** What the weights of a token take of its time at the probed bandwidth, turn by turn. */
  readonly fractionOfReadBandwidth: Spread;
}

/**
 * Measures greedy turns with prompts that the cache does not know.
 * @param threads - those of the program, for the probes
 * @throws {@link InvalidOptionError} for a turn without a second token
 */
export async function measureTurn(program: Program, threads: number, options: TurnOptions = {}): Promise<Turn> {
  const { prompt = 32, generate = 32, rounds = 3, signal, onProgress } = options;
  if (!Number.isInteger(generate) || generate < 2)
    throw new InvalidOptionError('generate', String(generate), ['whole numbers from 2 up']);
  const { bytesPerToken } = work(program.description, prompt);
  const [first, next, bandwidth, fraction]: [number[], number[], number[], number[]] = [[], [], [], []];
  await turnSeconds(program, prompt, Math.min(8, generate));
  let before = await probeReadBandwidth({ threads, bytes: 2 ** 30 });
  bandwidth.push(before);
  for (let round = 0; round < rounds; round++) {
    onProgress?.({ stage: 'turns', done: round, total: rounds });
    signal?.throwIfAborted();
    const seconds = await turnSeconds(program, prompt, generate);
    const after = await probeReadBandwidth({ threads, bytes: 2 ** 30 });
    first.push(seconds.first * 1000);
    next.push(seconds.next * 1000);
    bandwidth.push(after);
    fraction.push(bytesPerToken / seconds.next / ((before + after) / 2));
    before = after;
  }
  onProgress?.({ stage: 'turns', done: rounds, total: rounds });
  return {
    ...{ prompt, generate, bytesPerToken },
    firstToken: spread(first),
    nextToken: spread(next),
    readBandwidth: spread(bandwidth),
    fractionOfReadBandwidth: spread(fraction),
  };
}

/**
 * Milliseconds per token of a greedy generation: the quickest of some rounds, each the time to the end of a long answer less that
 * of an answer of one token. Unlike a time between tokens, it does not depend on when this thread hears of them, and what else
 * the machine does can only add to it.
 */
export async function decodeMilliseconds(
  program: Program,
  options: {
    readonly prompt?: number;
    readonly generate?: number;
    readonly rounds?: number;
    readonly signal?: AbortSignal;
  } = {},
): Promise<number> {
  const { prompt = 8, generate = 64, rounds = 5, signal } = options;
  await answerSeconds(program, prompt, generate);
  let [long, short] = [Infinity, Infinity];
  for (let round = 0; round < rounds; round++) {
    signal?.throwIfAborted();
    long = Math.min(long, await answerSeconds(program, prompt, generate + 1));
    short = Math.min(short, await answerSeconds(program, prompt, 1));
  }
  return ((long - short) / generate) * 1000;
}

async function answerSeconds(program: Program, prompt: number, generate: number): Promise<number> {
  using sequence = program.createSequence();
  const started = performance.now();
  await program.generate(sequence, promptTokens(prompt), { maxTokens: generate }, () => undefined).done;
  return (performance.now() - started) / 1000;
}

async function turnSeconds(
  program: Program,
  prompt: number,
  generate: number,
): Promise<{ first: number; next: number }> {
  using sequence = program.createSequence();
  const started = performance.now();
  let first = 0;
  let last = 0;
  const { done } = program.generate(sequence, promptTokens(prompt), { maxTokens: generate }, () => {
    last = performance.now();
    first ||= last;
  });
  await done;
  return { first: (first - started) / 1000, next: (last - first) / 1000 / (generate - 1) };
}
