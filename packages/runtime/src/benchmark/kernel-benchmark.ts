import {
  cholesky,
  cpuInfo,
  describeKernels,
  InvalidOptionError,
  MatmulTimer,
  probePeak,
  probeReadBandwidth,
  setThreadCount,
  sgemm,
  syrk,
  threadCount,
  timeAttention,
} from '@llm/tensor';
import {
  checkFilter,
  kernelCases,
  type AttentionCase,
  type BlasCase,
  type KernelFilter,
  type MatmulCase,
} from './kernel-cases.ts';
import { spread, type Spread } from './statistics.ts';

export interface KernelBenchmarkOptions extends KernelFilter {
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/** One kernel at work, beside the limits that were probed right before and after it. */
export interface KernelMeasurement {
  readonly family: 'matmul' | 'attention' | 'blas';
  /** The table whose kernel ran. */
  readonly isa: string;
  /** What the selector chose, as in describeKernels(); the call elsewhere. */
  readonly kernel: string;
  readonly shape: string;
  /** Of the weights or the cache. */
  readonly format: string;
  readonly groupSize: number | null;
  readonly compute: 'int8' | 'f32' | 'bf16';
  /** Rows of x, queries of a step. */
  readonly rows: number;
  /** Tokens in the cache before the step; null but for attention. */
  readonly context: number | null;
  readonly seconds: Spread;
  /** Bytes of weights or cache that a call reads. */
  readonly bytes: number;
  /** Multiplications and additions of a call. */
  readonly operations: number;
  /** Bytes per second that plain loops read. */
  readonly readBandwidth: number;
  /** Operations per second of this instruction set in registers. */
  readonly peak: number;
  readonly fractionOfReadBandwidth: number;
  readonly fractionOfPeak: number;
  /** Which of the two limits is the nearer one for this product, and the share of it that the median reaches. */
  readonly limit: 'reads' | 'arithmetic';
  readonly fractionOfLimit: number;
}

export interface KernelBenchmark {
  readonly machine: { readonly isa: string; readonly features: readonly string[]; readonly threads: number };
  readonly results: readonly KernelMeasurement[];
}

// Seconds for the repetitions of one measurement, and bytes of weights that no cache holds.
const quick = { seconds: 0.15, repeats: 40, workingSet: 2 ** 28 };
const thorough = { seconds: 0.6, repeats: 60, workingSet: 2 ** 30 };

/**
 * Measures every kernel of every instruction set that runs here by itself, on layers of published models. By default some
 * minutes; with `full` a matter of hours.
 * @throws {@link InvalidOptionError} for a table, shape or format that there is not, or a combination that leaves nothing
 */
export async function benchmarkKernels(options: KernelBenchmarkOptions): Promise<KernelBenchmark> {
  const info = cpuInfo();
  checkFilter(info, options);
  const cases = kernelCases(info, options);
  if (cases.matmul.length + cases.attention.length + cases.blas.length === 0)
    throw new InvalidOptionError('kernels', 'nothing left to measure', ['a table, shape and format that go together']);
  const before = threadCount();
  setThreadCount(options.threads);
  try {
    return {
      machine: { isa: info.isa, features: info.features, threads: options.threads },
      results: await all(),
    };
  } finally {
    setThreadCount(before);
  }

  async function all(): Promise<KernelMeasurement[]> {
    const effort = options.full ? thorough : quick;
    const probed = new ProbedLimits(options.threads);
    const results: KernelMeasurement[] = [];
    const work = [
      ...cases.matmul.map((item) => () => matmulResults(item, probed, effort)),
      ...byContext(cases.attention).map((group) => () => attentionResults(group, probed)),
      ...cases.blas.map((item) => () => blasResults(item, probed)),
    ];
    for (const [done, measure] of work.entries()) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ stage: 'bench', done, total: work.length });
      results.push(...(await measure()));
    }
    return results;
  }
}

interface Limits {
  readonly readBandwidth: number;
  readonly peak: number;
}

type Timed = Omit<
  KernelMeasurement,
  keyof Limits | 'fractionOfReadBandwidth' | 'fractionOfPeak' | 'limit' | 'fractionOfLimit'
>;

/** A measurement beside what the machine's limits allow. */
export function judge(timed: Timed, limits: Limits): KernelMeasurement {
  const [reading, computing] = [timed.bytes / limits.readBandwidth, timed.operations / limits.peak];
  const { median } = timed.seconds;
  return {
    ...timed,
    ...limits,
    fractionOfReadBandwidth: reading / median,
    fractionOfPeak: computing / median,
    limit: reading > computing ? 'reads' : 'arithmetic',
    fractionOfLimit: Math.max(reading, computing) / median,
  };
}

/** The limits around each measurement. What was probed after one is what was probed before the next. */
class ProbedLimits {
  readonly threads: number;
  #readBandwidth: number | undefined;
  #peak: { readonly name: string; readonly value: number } | undefined;

  constructor(threads: number) {
    this.threads = threads;
  }

  /**
   * What `time` measures, judged by the better of two probes around it: a disturbance during one of them does not flatter
   * the kernel.
   */
  async judge(
    isa: string,
    kind: 'int8' | 'f32' | 'bf16',
    time: () => readonly Timed[] | Promise<readonly Timed[]>,
  ): Promise<KernelMeasurement[]> {
    const { threads } = this;
    const name = `${isa} ${kind}`;
    const reads = (): Promise<number> => probeReadBandwidth({ threads, bytes: 2 ** 28 });
    const arithmetic = (): Promise<number> => probePeak({ isa, kind, threads });
    const before = {
      readBandwidth: this.#readBandwidth ?? (await reads()),
      peak: this.#peak?.name === name ? this.#peak.value : await arithmetic(),
    };
    const timed = await time();
    const after = { readBandwidth: await reads(), peak: await arithmetic() };
    this.#readBandwidth = after.readBandwidth;
    this.#peak = { name, value: after.peak };
    const limits = {
      readBandwidth: Math.max(before.readBandwidth, after.readBandwidth),
      peak: Math.max(before.peak, after.peak),
    };
    return timed.map((item) => judge(item, limits));
  }
}

async function matmulResults(
  { isa, shape, weight, compute, rows }: MatmulCase,
  probed: ProbedLimits,
  { seconds, repeats, workingSet }: typeof quick,
): Promise<KernelMeasurement[]> {
  using timer = new MatmulTimer(weight, workingSet);
  const { format, groupSize = null } = weight;
  const { threads } = probed;
  return await probed.judge(isa, compute, () =>
    rows.map((count) => {
      const timing = timer.time({ rows: count, compute, isa, threads, seconds, repeats });
      const { kernel } = describeKernels(weight, { compute, isa, rows: [count] })[0]!;
      return {
        ...({ family: 'matmul', isa, kernel, shape, format, groupSize, compute } as const),
        ...{ rows: count, context: null, seconds: spread(timing.seconds) },
        ...{ bytes: timing.weightBytes, operations: timing.operations },
      };
    }),
  );
}

function byContext(cases: readonly AttentionCase[]): AttentionCase[][] {
  const groups = new Map<string, AttentionCase[]>();
  for (const item of cases) {
    const key = `${item.isa} ${item.shape} ${item.cacheType}`;
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups.values()];
}

function attentionResults(cases: readonly AttentionCase[], probed: ProbedLimits): Promise<KernelMeasurement[]> {
  const { threads } = probed;
  return probed.judge(cases[0]!.isa, 'f32', () =>
    cases.map(({ isa, shape, context, queries, cacheType, ...sizes }) => {
      const tokens = context + queries;
      const timing = timeAttention({
        ...sizes,
        tokens,
        queries,
        cacheType,
        threads,
        isa,
        repeats: queries > 1 ? 3 : 7,
      });
      return {
        ...({ family: 'attention', isa, kernel: 'attention', shape, format: cacheType, groupSize: null } as const),
        ...({ compute: 'f32', rows: queries, context, seconds: spread(timing.seconds) } as const),
        ...{ bytes: timing.cacheBytes, operations: 2 * timing.products },
      };
    }),
  );
}

function blasResults({ call, sizes }: BlasCase, probed: ProbedLimits): Promise<KernelMeasurement[]> {
  const { isa } = cpuInfo();
  return probed.judge(isa, 'f32', async () => {
    const timed: Timed[] = [];
    for (const n of sizes) {
      const random = (): Float32Array => Float32Array.from({ length: n * n }, () => Math.random() - 0.5);
      const [a, b, c] = [random(), random(), new Float32Array(n * n)];
      // Positive definite by its diagonal, for Cholesky.
      for (let i = 0; i < n; i++) a[i * n + i]! += n;
      const run = {
        sgemm: () => sgemm({ m: n, n, k: n, a, b, c }),
        syrk: () => syrk({ n, k: n, a, c }),
        cholesky: () => cholesky(a, n),
      }[call];
      const seconds: number[] = [];
      for (let i = 0; i < 10; i++) {
        const start = performance.now();
        await run();
        seconds.push((performance.now() - start) / 1000);
      }
      timed.push({
        ...{ family: 'blas', isa, kernel: call, shape: `${n} x ${n}`, format: 'f32', groupSize: null },
        ...{ compute: 'f32', rows: n, context: null, seconds: spread(seconds.slice(2)) },
        ...{ bytes: (call === 'sgemm' ? 3 : 2) * 4 * n * n, operations: blasOperations[call] * n ** 3 },
      });
    }
    return timed;
  });
}

/** Multiplications and additions, as parts of n³. */
const blasOperations: Readonly<Record<BlasCase['call'], number>> = { sgemm: 2, syrk: 1, cholesky: 1 / 3 };
