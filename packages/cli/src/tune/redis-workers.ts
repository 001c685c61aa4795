import { createHash } from 'node:crypto';
import type { Trial, TrialRequest, TrialWorkers } from '@llm/quant';
import { connectionTo, loadBullMq, queueName, ready, WorkersError, type BullClient, type BullQueue } from './bullmq.ts';
import type { JudgeFlags } from './judge.ts';

/** What a worker is given. */
export interface TrialJob {
  readonly request: TrialRequest;
  readonly judge: Omit<JudgeFlags, 'output'>;
}

/** Trials that other processes carry out, handed over through a queue in Redis. */
export class RedisWorkers implements TrialWorkers, AsyncDisposable {
  readonly parallel: number;
  readonly #queue: BullQueue;
  readonly #events: BullClient;
  readonly #source: string;
  readonly #judge: TrialJob['judge'];

  private constructor(
    queue: BullQueue,
    events: BullClient,
    source: string,
    judge: TrialJob['judge'],
    parallel: number,
  ) {
    this.#source = source;
    this.#queue = queue;
    this.#events = events;
    this.#judge = judge;
    this.parallel = parallel;
  }

  /**
   * @param source - the model as workers are to look for it
   * @throws {@link WorkersError} if nothing answers
   */
  static async connect(url: string, source: string, judge: TrialJob['judge'], parallel: number): Promise<RedisWorkers> {
    const connection = connectionTo(url);
    const { Queue, QueueEvents } = await loadBullMq();
    const queue = new Queue(queueName, { connection });
    const events = new QueueEvents(queueName, { connection });
    // It tries again by itself; without a listener an error would end the process.
    for (const part of [queue, events]) part.on('error', () => undefined);
    const workers = new RedisWorkers(queue, events, source, judge, parallel);
    try {
      await ready(queue, url);
      await ready(events, url);
    } catch (error) {
      void workers[Symbol.asyncDispose]().catch(() => undefined);
      throw error;
    }
    return workers;
  }

  async run(request: TrialRequest, signal: AbortSignal): Promise<Trial> {
    signal.throwIfAborted();
    const data: TrialJob = { request: { ...request, source: this.#source }, judge: this.#judge };
    const job = await this.#queue.add('trial', data, {
      // The same trial of a tuner that was killed meanwhile is not carried out twice.
      jobId: createHash('sha256').update(JSON.stringify(data)).digest('hex').slice(0, 32),
      // Kept for a tuner that looks late, not for ever.
      removeOnComplete: { age: 24 * 3600 },
      removeOnFail: true,
    });
    let abort: () => void = () => undefined;
    const aborted = new Promise<never>((_, reject) => {
      abort = () => {
        // One that is under way cannot be removed: its worker ends it, and nobody asks for the result.
        void job.remove().catch(() => undefined);
        reject(signal.reason as Error);
      };
      // Perhaps while the queue took it.
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    });
    try {
      return (await Promise.race([job.waitUntilFinished(this.#events), aborted])) as Trial;
    } catch (cause) {
      signal.throwIfAborted();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new WorkersError(`A worker could not carry out ${request.name}: ${reason}`, { cause });
    } finally {
      // A later abort must not take away what this one found.
      signal.removeEventListener('abort', abort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#queue.close(), this.#events.close()]);
  }
}
