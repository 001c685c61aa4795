import { architectureOf } from '@llm/models';
import {
  cpuInfo,
  probePeak,
  probeReadBandwidth,
  Program,
  type GenerateOptions,
  type Instruction,
  type LinearCompute,
  type MatrixFormat,
  type ProgramDescription,
} from '@llm/tensor';
import { compile } from '../compile/compile.ts';
import { shapeNamed } from './shapes.ts';
import { spread, type Spread } from './statistics.ts';
import { SyntheticWeights } from './synthetic-weights.ts';

export interface BenchmarkOptions {
  /** Tokens generated per round; default 64. */
  readonly generate?: number;
  /** Tokens of the prompt that is prefilled per round; default 512. */
  readonly prompt?: number;
  /** Rows of the small batches; default 2, 4, 8, 16. */
  readonly batches?: readonly number[];
  /** Rounds, each with its own probes; default 3. */
  readonly rounds?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/**
 * Speed of a model beside the limits of the machine, measured in the same minutes. Bandwidth in bytes per second, fractions of 1;
 * single numbers are medians over the rounds, whose spreads are in `spread`.
 */
export interface Benchmark {
  readonly machine: { readonly isa: string; readonly features: readonly string[]; readonly threads: number };
  readonly limits: {
    readonly readBandwidth: number;
    /** Multiply-adds of 8-bit integers count as two operations. Per second, all threads. */
    readonly integerPeak: number;
  };
  readonly decode: {
    readonly tokensPerSecond: Spread;
    /** Weights that one token streams. */
    readonly bytesPerToken: number;
    /** Each round against the probes right before and after it. */
    readonly fractionOfReadBandwidth: number;
  };
  readonly prefill: {
    readonly tokens: number;
    readonly tokensPerSecond: Spread;
    readonly fractionOfIntegerPeak: number;
  };
  /** Time of a step of `rows` tokens over that of one token. */
  readonly smallBatch: readonly { readonly rows: number; readonly timeRatio: number }[];
  readonly spread: {
    readonly readBandwidth: Spread;
    readonly integerPeak: Spread;
    readonly fractionOfReadBandwidth: Spread;
    readonly fractionOfIntegerPeak: Spread;
    /** In the order of `smallBatch`. */
    readonly timeRatios: readonly Spread[];
  };
}

/**
 * Measures a program: rounds of probe, decode, probe, prefill, peak, small batches, so that each figure has a limit measured
 * beside it. Other work on the machine shows as spread.
 */
export async function benchmarkProgram(
  program: Program,
  threads: number,
  options: BenchmarkOptions = {},
): Promise<Benchmark> {
  const { generate = 64, batches = [2, 4, 8, 16], rounds = 3 } = options;
  const prompt = Math.min(options.prompt ?? 512, program.description.maxTokens, program.contextLength);
  const { bytesPerToken, operations } = work(program.description, prompt);
  const measured = {
    bandwidth: [] as number[],
    peak: [] as number[],
    decode: [] as number[],
    decodeFraction: [] as number[],
    prefill: [] as number[],
    prefillFraction: [] as number[],
    batches: batches.map(() => [] as number[]),
  };

  // Pages are touched, caches and clocks are warm.
  await decodeSeconds(program, Math.min(8, generate));
  const probe = () => probeReadBandwidth({ threads, bytes: 2 ** 30 });

  for (let round = 0; round < rounds; round++) {
    const report = (stage: string, done: number): void =>
      options.onProgress?.({ stage, done: round * 4 + done, total: rounds * 4 });
    options.signal?.throwIfAborted();
    report('bench', 0);
    const before = await probe();
    const seconds = await decodeSeconds(program, generate);
    const after = await probe();
    measured.bandwidth.push(before, after);
    measured.decode.push(1 / seconds);
    measured.decodeFraction.push(bytesPerToken / seconds / ((before + after) / 2));

    options.signal?.throwIfAborted();
    report('bench', 1);
    const peakBefore = await probePeak({ kind: 'int8', threads });
    const prefill = await stepSeconds(program, prompt, 1);
    const peakAfter = await probePeak({ kind: 'int8', threads });
    measured.peak.push(peakBefore, peakAfter);
    measured.prefill.push(prompt / prefill);
    measured.prefillFraction.push(operations / prefill / ((peakBefore + peakAfter) / 2));

    options.signal?.throwIfAborted();
    report('bench', 2);
    const single = await stepSeconds(program, 1, 5);
    for (const [i, rows] of batches.entries())
      measured.batches[i]!.push((await stepSeconds(program, rows, 5)) / single);
    report('bench', 4);
  }

  const { isa, features } = cpuInfo();
  const spreads = {
    readBandwidth: spread(measured.bandwidth),
    integerPeak: spread(measured.peak),
    fractionOfReadBandwidth: spread(measured.decodeFraction),
    fractionOfIntegerPeak: spread(measured.prefillFraction),
    timeRatios: measured.batches.map(spread),
  };
  return {
    machine: { isa, features, threads },
    limits: { readBandwidth: spreads.readBandwidth.median, integerPeak: spreads.integerPeak.median },
    decode: {
      tokensPerSecond: spread(measured.decode),
      bytesPerToken,
      fractionOfReadBandwidth: spreads.fractionOfReadBandwidth.median,
    },
    prefill: {
      tokens: prompt,
      tokensPerSecond: spread(measured.prefill),
      fractionOfIntegerPeak: spreads.fractionOfIntegerPeak.median,
    },
    smallBatch: batches.map((rows, i) => ({ rows, timeRatio: spreads.timeRatios[i]!.median })),
    spread: spreads,
  };
}

export interface SyntheticBenchmarkOptions extends BenchmarkOptions {
  readonly threads: number;
  readonly groupSize?: number;
  /** Format of the linears, the embedding and the head; default int4-sym. */
  readonly format?: MatrixFormat;
  readonly headFormat?: MatrixFormat;
  readonly compute?: LinearCompute;
  readonly contextLength?: number;
  readonly cacheType?: 'f32' | 'f16' | 'bf16' | 'int8';
  readonly isa?: string;
  /** Measure every instruction, for `program.profile()`. */
  readonly profile?: boolean;
  /** Remember who did what when, for `program.trace()`. */
  readonly trace?: boolean;
}

/** A program of a named shape with random weights. Dispose of the program, then of the weights. */
export function syntheticProgram(
  name: string,
  options: SyntheticBenchmarkOptions,
): { program: Program; weights: SyntheticWeights } {
  const config = shapeNamed(name);
  const architecture = architectureOf(config);
  const results = architecture.build(config);
  const weights = new SyntheticWeights(results.graph, {
    format: options.format ?? 'int4-sym',
    groupSize: options.groupSize ?? 32,
    ...(options.headFormat === undefined ? {} : { headFormat: options.headFormat }),
  });
  const contextLength = options.contextLength ?? 1024;
  const blockTokens = 64;
  const description = compile(results, weights, {
    maxTokens: Math.min(options.prompt ?? 512, contextLength),
    contextLength,
    compute: options.compute,
    cache: { type: options.cacheType ?? 'f16', blockTokens, blocks: Math.ceil(contextLength / blockTokens) + 1 },
  });
  const program = new Program(description, {
    threads: options.threads,
    ...(options.isa === undefined ? {} : { isa: options.isa }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
    ...(options.trace === undefined ? {} : { trace: options.trace }),
  });
  return { program, weights };
}

/** {@link benchmarkProgram} on random weights of a named shape. */
export async function benchmarkSynthetic(name: string, options: SyntheticBenchmarkOptions): Promise<Benchmark> {
  const { program, weights } = syntheticProgram(name, options);
  try {
    return await benchmarkProgram(program, options.threads, options);
  } finally {
    await program[Symbol.asyncDispose]();
    weights[Symbol.dispose]();
  }
}

/** What one decoded token streams, and the integer operations of a prefill whose head runs for the last token only. */
export function work(
  description: ProgramDescription,
  promptTokens: number,
): { bytesPerToken: number; operations: number } {
  let bytesPerToken = 0;
  let operations = 0;
  for (const instruction of description.instructions) {
    if (!isLinear(instruction)) continue;
    const rows = description.buffers[instruction.in]!.rows === 'outputs' ? 1 : promptTokens;
    for (const { weight } of instruction.parts) {
      bytesPerToken += weight.byteLength;
      operations += 2 * weight.rows * weight.columns * rows;
    }
  }
  return { bytesPerToken, operations };
}

function isLinear(instruction: Instruction): instruction is Extract<Instruction, { op: 'linear' }> {
  return instruction.op === 'linear';
}

let prompts = 0;

/** Other tokens each time: a prompt that the cache remembers would be read for nothing. */
export function promptTokens(count: number): Int32Array {
  prompts += 1;
  return Int32Array.from({ length: count }, (_, i) => (i * 7 + prompts * 31) % 1000);
}

/** Seconds per token of a greedy generation, from the first token to the last. */
async function decodeSeconds(program: Program, tokens: number): Promise<number> {
  using sequence = program.createSequence();
  let first = 0;
  const options: GenerateOptions = { maxTokens: tokens + 1 };
  const { done } = program.generate(sequence, promptTokens(4), options, () => {
    first ||= performance.now();
  });
  await done;
  return (performance.now() - first) / 1000 / tokens;
}

/** The quickest of some steps of `rows` tokens, each on a fresh sequence. */
async function stepSeconds(program: Program, rows: number, repeats: number): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < repeats; i++) {
    using sequence = program.createSequence();
    const start = performance.now();
    await program.forward(sequence, promptTokens(rows));
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}
