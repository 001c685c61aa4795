import { LlmError } from '@llm/tensor';

/** What is used of BullMQ 5 and later. Written down here, because it is installed only where trials are shared out. */
export interface BullMq {
  readonly Queue: new (name: string, options: BullOptions) => BullQueue;
  readonly QueueEvents: new (name: string, options: BullOptions) => BullClient;
  readonly Worker: new (
    name: string,
    processor: (job: { readonly data: unknown }) => Promise<unknown>,
    options: BullOptions & {
      readonly concurrency: number;
      readonly lockDuration: number;
      readonly stalledInterval: number;
      readonly maxStalledCount: number;
    },
  ) => BullClient;
}

export interface BullOptions {
  readonly connection: { readonly url: string; readonly maxRetriesPerRequest: null };
}

/** What holds a connection. */
export interface BullClient {
  on(event: 'error', listener: (error: Error) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  close(force?: boolean): Promise<void>;
}

export interface BullQueue extends BullClient {
  add(name: string, data: unknown, options: object): Promise<BullJob>;
}

export interface BullJob {
  waitUntilFinished(events: BullClient): Promise<unknown>;
  remove(): Promise<void>;
}

/** The queue where trials wait, in whichever Redis. */
export const queueName = 'llm-tune';

/** Trials cannot be shared out: the package is missing, the address is wrong, or nothing answers there. */
export class WorkersError extends LlmError {
  constructor(message: string, options?: ErrorOptions) {
    super('WORKERS', message, options);
  }
}

/** @throws {@link WorkersError} that says how to install it */
export async function loadBullMq(name = 'bullmq'): Promise<BullMq> {
  try {
    return (await import(name)) as BullMq;
  } catch (cause) {
    throw new WorkersError('Sharing trials out needs BullMQ. Install it with: npm install bullmq ioredis', { cause });
  }
}

/** @throws {@link WorkersError} for anything but redis:// or rediss:// */
export function connectionTo(url: string): BullOptions['connection'] {
  if (!/^rediss?:\/\/./.test(url)) throw new WorkersError(`${url} is no address of a Redis: redis://host:6379`);
  return { url, maxRetriesPerRequest: null };
}

/** Waits for a connection, but not for ever. @throws {@link WorkersError} */
export async function ready(what: Pick<BullClient, 'waitUntilReady'>, url: string, seconds = 10): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new WorkersError(`Nothing answers at ${url}. Is redis-server running there?`));
    }, seconds * 1000);
  });
  try {
    await Promise.race([what.waitUntilReady(), late]);
  } finally {
    clearTimeout(timer);
  }
}
