import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTrial, type Trial } from '@llm/quant';
import { modelSource } from '../shipped-models.ts';
import { connectionTo, loadBullMq, queueName, ready } from './bullmq.ts';
import { Judge } from './judge.ts';
import type { TrialJob } from './redis-workers.ts';

export interface TuneWorkerOptions {
  /** Seconds of silence after which a trial goes to another worker; default 60. */
  readonly patience?: number;
  readonly threads?: number;
  /** Where candidates lie while they are judged; default the system's folder for such files. */
  readonly folder?: string;
  readonly onTrial?: (trial: Trial) => void;
  readonly onStart?: (name: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Carries out trials that wait in a Redis, one at a time, until the signal stops it; then the trial under way is given up, and
 * goes to another worker.
 * @throws WorkersError if nothing answers
 */
export async function serveTrials(url: string, options: TuneWorkerOptions): Promise<void> {
  const connection = connectionTo(url);
  const { Worker } = await loadBullMq();
  const { patience = 60, signal } = options;
  const worker = new Worker(
    queueName,
    async ({ data }) => {
      const job = data as TrialJob;
      options.onStart?.(job.request.name);
      const trial = await carryOut(job, options);
      options.onTrial?.(trial);
      return trial;
    },
    {
      connection,
      concurrency: 1,
      lockDuration: patience * 1000,
      stalledInterval: (patience * 1000) / 2,
      // However many workers die with it, a trial is tried again.
      maxStalledCount: 1000,
    },
  );
  worker.on('error', () => undefined);
  try {
    await ready(worker, url);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else
        signal.addEventListener(
          'abort',
          () => {
            resolve();
          },
          { once: true },
        );
    });
  } finally {
    // Its lock runs out, as if the process had died.
    await worker.close(true);
  }
}

async function carryOut({ request, judge: flags }: TrialJob, options: TuneWorkerOptions): Promise<Trial> {
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), 'llm-tune-'));
  try {
    const { threads } = options;
    const own = { ...flags, output: join(folder, 'model'), ...(threads === undefined ? {} : { threads }) };
    const judge = await Judge.create(request.source, own);
    const path = join(folder, request.name.replaceAll(/[^\w.+-]+/g, '_'));
    return await runTrial(
      { ...request, source: modelSource(request.source) },
      path,
      {
        evaluate: (target, wanted) => judge.evaluate(target, wanted),
        measure: (model, stop) => judge.measure(model, stop),
      },
      options.signal,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
