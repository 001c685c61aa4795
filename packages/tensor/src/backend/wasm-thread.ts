import { Worker } from 'node:worker_threads';
import { threadSource, type ThreadStart } from './thread-source.ts';

/** Node lets every thread wait, its main thread too. */
export const callerMaySleep = (): boolean => true;

/**
 * Starts a thread of kernels, which keeps no process alive; false where threads are not allowed, such as under
 * `--permission`. In bundles for browsers wasm-thread-browser.ts stands here.
 */
export function startThread(start: ThreadStart): boolean {
  try {
    const worker = new Worker(threadSource, { eval: true, workerData: start, execArgv: [], name: 'llm' });
    worker.unref();
    // Kernels do without a thread that cannot start; one that fails later says so to them.
    worker.on('error', () => undefined);
    return true;
  } catch {
    return false;
  }
}
