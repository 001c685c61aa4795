import { availableParallelism } from 'node:os';
import { InvalidOptionError } from '../errors.ts';
import { linuxProcessors, type Processors } from './linux-processors.ts';

/** How many threads compute, and why. */
export interface ThreadPlan {
  readonly threads: number;
  /** Whether every thread has a CPU to itself, so that waiting actively is cheap. */
  readonly spin: boolean;
  /** One sentence per fact that led to the number, in the order in which they were weighed. */
  readonly reasons: readonly string[];
}

/** More threads than this are surely a mistake, and would exhaust the process. */
const maxThreads = 1024;

/**
 * One thread per fast physical core that this process may use, within its share of CPU time; `LLM_THREADS` overrides it.
 * @throws {@link InvalidOptionError} if LLM_THREADS is not a number of threads
 */
export function planThreads(
  forced: string | undefined,
  processors: Processors | undefined = process.platform === 'linux' ? linuxProcessors() : undefined,
  logical: number = availableParallelism(),
): ThreadPlan {
  const reasons: string[] = [];
  const found = processors ?? { allowed: logical, cores: logical, fastCores: logical, quota: undefined };
  reasons.push(`This process may use ${count(found.allowed, 'logical processor')}.`);
  if (found.cores < found.allowed) reasons.push(`They belong to ${count(found.cores, 'physical core')}.`);
  if (found.fastCores < found.cores) reasons.push(`${count(found.fastCores, 'core')} of them are of the fastest kind.`);
  let threads = found.fastCores;
  if (found.quota !== undefined) {
    reasons.push(`Its control group allows ${String(Number(found.quota.toFixed(2)))} CPUs of time.`);
    threads = Math.max(1, Math.min(threads, Math.ceil(found.quota)));
  }
  if (forced) {
    threads = parseThreads(forced);
    reasons.push(`LLM_THREADS asks for ${String(threads)}.`);
  }
  return { threads, spin: threads <= Math.min(found.cores, found.quota ?? Number.POSITIVE_INFINITY), reasons };
}

/** @throws {@link InvalidOptionError} */
export function checkThreads(threads: number, option: string): number {
  if (!Number.isInteger(threads) || threads < 1 || threads > maxThreads)
    throw new InvalidOptionError(option, String(threads), [`a whole number from 1 to ${String(maxThreads)}`]);
  return threads;
}

function parseThreads(text: string): number {
  if (!/^\d+$/.test(text))
    throw new InvalidOptionError('LLM_THREADS', text, [`a whole number from 1 to ${String(maxThreads)}`]);
  return checkThreads(Number(text), 'LLM_THREADS');
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`;
}
