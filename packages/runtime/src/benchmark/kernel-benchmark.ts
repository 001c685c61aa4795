import {
  cpuInfo,
  describeKernels,
  InvalidOptionError,
  MatmulTimer,
  probePeak,
  probeReadBandwidth,
  setThreadCount,
  sgemm,
  threadCount,
  timeAttention,
} from '@llm/tensor';
import { checkFilter, kernelCases, type AttentionCase, type KernelFilter, type MatmulCase } from './kernel-cases.ts';
import { spread, type Spread } from './statistics.ts';

export interface KernelBenchmarkOptions extends KernelFilter {
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/** One kernel at work, beside the limits that were probed right before and after it. */
export interface KernelMeasurement {
  readonly family: 'matmul' | 'attention' | 'sgemm';
  /** The table whose kernel ran. */
  readonly isa: string;
  /** What the selector chose, as in describeKernels(); the family elsewhere. */
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
 * Measures every kernel of every instruction set that runs here by itself, on layers of published models. By default about
 * two minutes; with `full` a matter of hours.
 * @throws {@link InvalidOptionError} for a table, shape or format that there is not, or a combination that leaves nothing
 */
export async function benchmarkKernels(options: KernelBenchmarkOptions): Promise<KernelBenchmark> {
  const info = cpuInfo();
  checkFilter(info, options);
  const cases = kernelCases(info, options);
  if (cases.matmul.length + cases.attention.length + cases.sgemm.length === 0)
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
    const results: KernelMeasurement[] = [];
    const work = [
      ...cases.matmul.map((item) => () => matmulResults(item, options.threads, effort)),
      ...byContext(cases.attention).map((group) => () => attentionResults(group, options.threads)),
      ...(cases.sgemm.length === 0 ? [] : [() => sgemmResults(cases.sgemm, options.threads)]),
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

/**
 * What `time` measures, judged by the better of two probes around it: a disturbance during one of them does not flatter the
 * kernel.
 */
async function judged(
  isa: string,
  kind: 'int8' | 'f32' | 'bf16',
  threads: number,
  time: () => readonly Timed[] | Promise<readonly Timed[]>,
): Promise<KernelMeasurement[]> {
  const probe = async (): Promise<Limits> => ({
    readBandwidth: await probeReadBandwidth({ threads, bytes: 2 ** 28 }),
    peak: await probePeak({ isa, kind, threads }),
  });
  const before = await probe();
  const timed = await time();
  const after = await probe();
  const limits = {
    readBandwidth: Math.max(before.readBandwidth, after.readBandwidth),
    peak: Math.max(before.peak, after.peak),
  };
  return timed.map((item) => judge(item, limits));
}

async function matmulResults(
  { isa, shape, weight, compute, rows }: MatmulCase,
  threads: number,
  { seconds, repeats, workingSet }: typeof quick,
): Promise<KernelMeasurement[]> {
  using timer = new MatmulTimer(weight, workingSet);
  const { format, groupSize = null } = weight;
  return await judged(isa, compute, threads, () =>
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

function attentionResults(cases: readonly AttentionCase[], threads: number): Promise<KernelMeasurement[]> {
  return judged(cases[0]!.isa, 'f32', threads, () =>
    cases.map(({ isa, shape, context, queries, cacheType, ...sizes }) => {
      const tokens = context + queries;
      const timing = timeAttention({ ...sizes, tokens, queries, cacheType, threads, isa, repeats: 5 });
      return {
        ...({ family: 'attention', isa, kernel: 'attention', shape, format: cacheType, groupSize: null } as const),
        ...({ compute: 'f32', rows: queries, context, seconds: spread(timing.seconds) } as const),
        ...{ bytes: timing.cacheBytes, operations: 2 * timing.products },
      };
    }),
  );
}

function sgemmResults(sizes: readonly number[], threads: number): Promise<KernelMeasurement[]> {
  const { isa } = cpuInfo();
  return judged(isa, 'f32', threads, async () => {
    const timed: Timed[] = [];
    for (const n of sizes) {
      const random = (): Float32Array => Float32Array.from({ length: n * n }, () => Math.random() - 0.5);
      const [a, b, c] = [random(), random(), new Float32Array(n * n)];
      const seconds: number[] = [];
      for (let i = 0; i < 12; i++) {
        const start = performance.now();
        await sgemm({ m: n, n, k: n, a, b, c });
        seconds.push((performance.now() - start) / 1000);
      }
      timed.push({
        ...{ family: 'sgemm', isa, kernel: 'sgemm', shape: `${n} x ${n}`, format: 'f32', groupSize: null },
        ...{ compute: 'f32', rows: n, context: null, seconds: spread(seconds.slice(2)) },
        ...{ bytes: 3 * 4 * n * n, operations: 2 * n ** 3 },
      });
    }
    return timed;
  });
}
