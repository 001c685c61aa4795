// Stands for wasm-thread.ts in bundles for browsers.
import { threadSource, type ThreadStart } from './thread-source.ts';

interface BrowserWorker {
  onerror: ((event: { preventDefault(): void }) => void) | null;
  postMessage(message: unknown): void;
}

const { Worker, WorkerGlobalScope } = globalThis as unknown as {
  Worker?: new (url: string, options: { name: string }) => BrowserWorker;
  WorkerGlobalScope?: unknown;
};

/** Pages must not wait, workers may. */
export const callerMaySleep = (): boolean => WorkerGlobalScope !== undefined;

let url: string | undefined;

/** False where workers cannot be started. A page whose policy forbids `blob:` workers goes on with one thread. */
export function startThread(start: ThreadStart): boolean {
  if (Worker === undefined) return false;
  url ??= URL.createObjectURL(new Blob([threadSource], { type: 'text/javascript' }));
  try {
    const worker = new Worker(url, { name: 'llm' });
    worker.onerror = (event) => {
      event.preventDefault();
    };
    worker.postMessage(start);
    return true;
  } catch {
    return false;
  }
}
