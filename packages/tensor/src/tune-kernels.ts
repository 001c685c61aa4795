import { backend } from './backend/load.ts';
import {
  applyThresholds,
  thresholdsPath,
  writeThresholds,
  type KernelThresholds,
} from './backend/stored-thresholds.ts';
import { cpuInfo } from './cpu.ts';
import { describeKernels } from './kernels.ts';
import { checkOptions } from './options.ts';
import { MatmulTimer } from './time-matmul.ts';

export interface TuneKernelsOptions {
  /** Default: those of the shared pool. */
  readonly threads?: number;
  /** Of the square weights; default 2048. */
  readonly size?: number;
  /** Where the result is stored; `false`: nowhere. Default: {@link thresholdsPath}. */
  readonly path?: string | false;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

const formats = { symmetric: 'int4-sym', 'zero-points': 'int4-asym', 'two-level': 'int4-two' } as const;
const groups = { short: 32, long: 128 } as const;
const counts = [12, 24, 48, 96, 192, 384];
const tileCounts = [4, 8, 16, 32, 64];
/** Another kernel must gain so much: less is noise. */
const worthwhile = 0.98;

/**
 * Measures from how many rows on the selector should take another int8 kernel on this machine, uses that at once, and stores
 * it for later processes. The kernels give the same bits: only the time changes. Takes some seconds; nothing else should
 * run. Not while other threads multiply.
 * @returns the thresholds by name; 0: never
 */
export function tuneKernels(options: TuneKernelsOptions = {}): KernelThresholds {
  checkOptions(options, ['threads', 'size', 'path', 'signal', 'onProgress'], 'tuneKernels()');
  const { threads = 0, size = 2048, path = thresholdsPath() } = options;
  const { addon } = backend();
  const { isa } = cpuInfo();
  const thresholds: Record<string, number> = {};
  const cases = Object.entries(formats).flatMap(([codes, format]) =>
    Object.entries(groups).map(([length, groupSize]) => ({ name: `${codes}-${length}`, format, groupSize })),
  );
  try {
    for (const [done, { name, format, groupSize }] of cases.entries()) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ stage: 'tune', done, total: cases.length });
      const weight = { format, rows: size, columns: size, groupSize };
      using timer = new MatmulTimer(weight, 2 ** 26);
      const has = (kernel: string): boolean => {
        addon.forceMatmul(kernel);
        return describeKernels(weight, { isa, rows: [512] })[0]?.kernel === kernel;
      };
      if (has('panel')) thresholds[name] = crossover(timer, 'panel', counts);
      if (name === 'symmetric-long' && has('tiles')) thresholds['tiles'] = crossover(timer, 'tiles', tileCounts);
    }
  } finally {
    addon.forceMatmul(process.env['LLM_MATMUL'] ?? '');
  }
  applyThresholds(addon, thresholds);
  if (path !== false) writeThresholds(thresholds, path);
  return thresholds;

  /** The least of the counts from which on `kernel` beats `rows`, or 0. */
  function crossover(timer: MatmulTimer, kernel: string, rowCounts: readonly number[]): number {
    let least = 0;
    for (const rows of rowCounts.toReversed()) {
      const [candidate, usual] = fastest(timer, [kernel, 'rows'], rows);
      if (candidate! > worthwhile * usual!) break;
      least = rows;
    }
    return least;
  }

  /** Of each kernel, taken in turn, so that a disturbance meets both. */
  function fastest(timer: MatmulTimer, kernels: readonly string[], rows: number): number[] {
    const best = kernels.map(() => Infinity);
    for (let round = 0; round < 4; round++)
      for (const [i, kernel] of kernels.entries()) {
        addon.forceMatmul(kernel);
        const { seconds } = timer.time({ rows, isa, threads, repeats: 3 });
        best[i] = Math.min(best[i]!, seconds[0]!);
      }
    return best;
  }
}
