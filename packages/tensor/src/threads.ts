import { backend } from './backend/load.ts';
import { checkThreads, planThreads, type ThreadPlan } from './threads/thread-plan.ts';

/** How many threads suit this machine, and why. `LLM_THREADS` overrides the number. */
export function threadPlan(): ThreadPlan {
  return planThreads(process.env['LLM_THREADS']);
}

/** How many threads computations use now, all callers of this process together. */
export function threadCount(): number {
  return backend().addon.poolThreads();
}

/**
 * Changes it for the whole process, from the next computation on. Not needed normally: {@link threadPlan} has been
 * followed when the kernels were loaded.
 */
export function setThreadCount(threads: number): void {
  const planned = threadPlan();
  backend().addon.resizePool(checkThreads(threads, 'threads'), planned.spin && threads <= planned.threads);
}
