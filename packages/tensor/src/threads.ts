import { availableParallelism } from 'node:os';
import { backend } from './backend/load.ts';
import {
  readThreads,
  threadsFile,
  tryThreads,
  writeThreads,
  type MeasuredThreads,
} from './threads/measured-threads.ts';
import { checkThreads, planThreads, type ThreadPlan } from './threads/thread-plan.ts';

/** How many threads suit this machine, and why. `LLM_THREADS` overrides the number. */
export function threadPlan(): ThreadPlan {
  return planThreads(process.env['LLM_THREADS']);
}

/**
 * Measures how many threads suit prompts and single tokens, in about a second for each number that is tried, and remembers it for
 * this machine: see {@link savedThreads}.
 */
export async function measureThreads(): Promise<MeasuredThreads> {
  const plan = threadPlan();
  const measured = await tryThreads(plan.threads, availableParallelism());
  writeThreads(threadsFile(), plan, measured);
  return measured;
}

/** What {@link measureThreads} found on this machine earlier; undefined if it did not, or `LLM_THREADS` says otherwise. */
export function savedThreads(): MeasuredThreads | undefined {
  return process.env['LLM_THREADS'] ? undefined : readThreads(threadsFile(), threadPlan());
}

/** How many threads computations use now, all callers of this process together. */
export function threadCount(): number {
  return backend().addon.poolThreads();
}

/**
 * How many of them could compute at this moment. Threads of WebAssembly begin some time after they have been asked for, while
 * the event loop runs; until then the others do their part.
 */
export function runningThreads(): number {
  return backend().runningThreads();
}

/**
 * Changes it for the whole process, from the next computation on. Not needed normally: {@link threadPlan} has been
 * followed when the kernels were loaded.
 */
export function setThreadCount(threads: number): void {
  const planned = threadPlan();
  backend().addon.resizePool(checkThreads(threads, 'threads'), planned.spin && threads <= planned.threads);
}
