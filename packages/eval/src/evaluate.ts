import { setMaxListeners } from 'node:events';
import { aggregate, type TaskResult } from './aggregate.ts';
import { readRows } from './datasets/read-rows.ts';
import { EvaluationError } from './errors.ts';
import { Journal } from './journal.ts';
import { answerRequests } from './loglikelihood.ts';
import type { Scorer } from './scorer.ts';
import type { DocumentScores, Row, Task } from './tasks/task.ts';

export interface EvaluateOptions {
  /** Score only the first documents of each task; default all. */
  readonly limit?: number;
  /** Documents in flight at once, so that the runtime can batch them; default 8. */
  readonly concurrency?: number;
  /** A file (JSON lines) that keeps each scored document: an interrupted evaluation goes on where it stopped. See {@link Journal}. */
  readonly journal?: string;
  /** Tells journals of different models apart; needed with `journal`. */
  readonly modelName?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: EvaluateProgress) => void;
}

export interface EvaluateProgress {
  readonly stage: string;
  /** Documents. */
  readonly done: number;
  readonly total: number;
  /** Undefined before the first document. */
  readonly secondsLeft: number | undefined;
}

export interface EvaluationResult {
  readonly tasks: readonly TaskResult[];
  /** Every document's scores, by task, in the order of the data set: what paired comparisons need. */
  readonly documents: Readonly<Record<string, readonly DocumentScores[]>>;
}

/** A task and where its data set lies: a file, a folder, or rows. */
export interface TaskSource {
  readonly task: Task;
  readonly data: string | readonly Row[];
}

/**
 * Scores a model on tasks, zero-shot.
 * @throws DataSetError for unusable rows, EvaluationError for a score that is not a number, JournalError, or the signal's reason
 */
export async function evaluate(
  scorer: Scorer,
  sources: readonly TaskSource[],
  options: EvaluateOptions = {},
): Promise<EvaluationResult> {
  const results: TaskResult[] = [];
  const documents: Record<string, readonly DocumentScores[]> = {};
  const signal = options.signal && AbortSignal.any([options.signal]);
  // Every forward pass in flight listens; the caller's own signal keeps its limit.
  if (signal) setMaxListeners(0, signal);
  await using journal = options.journal === undefined ? undefined : await Journal.open(options.journal);
  for (const source of sources) {
    const scores = await evaluateTask(scorer, source, journal, { ...options, ...(signal ? { signal } : {}) });
    documents[source.task.name] = scores;
    results.push(aggregate(source.task, scores));
  }
  return { tasks: results, documents };
}

async function evaluateTask(
  scorer: Scorer,
  { task, data }: TaskSource,
  journal: Journal | undefined,
  options: EvaluateOptions,
): Promise<DocumentScores[]> {
  const rows = typeof data === 'string' ? await readRows(task, data) : data;
  const documents = task.documents(options.limit === undefined ? rows : rows.slice(0, options.limit));
  if (documents.length === 0) throw new EvaluationError(task.name, undefined, 'the data set is empty');

  const requests = documents.map((document) => task.requests(document));
  const keys = journal ? requests.map((list) => Journal.keyOf(options.modelName ?? '', task.name, list)) : [];
  const scores = new Map<number, DocumentScores>();
  for (const [index, key] of keys.entries()) {
    const known = journal?.get(key);
    if (known) scores.set(index, known);
  }
  const started = performance.now();
  const before = scores.size;
  let next = 0;

  const report = (): void => {
    const fresh = scores.size - before;
    const seconds = (performance.now() - started) / 1000;
    options.onProgress?.({
      stage: task.name,
      done: scores.size,
      total: documents.length,
      secondsLeft: fresh > 0 ? (seconds / fresh) * (documents.length - scores.size) : undefined,
    });
  };

  const worker = async (): Promise<void> => {
    for (let index = next++; index < documents.length; index = next++) {
      if (scores.has(index)) continue;
      options.signal?.throwIfAborted();
      const answers = await answerRequests(scorer, requests[index] ?? [], options.signal);
      const score = task.score(documents[index], answers);
      for (const [name, value] of Object.entries(score))
        if (!Number.isFinite(value)) throw new EvaluationError(task.name, index, `${name} is ${value}`);
      scores.set(index, score);
      await journal?.append(keys[index] ?? '', score);
      report();
    }
  };

  report();
  await settleAll(Array.from({ length: options.concurrency ?? 8 }, worker));
  return documents.map((_, index) => scores.get(index) ?? {});
}

/** Waits for all before throwing the first failure: nothing of a failed evaluation runs on. */
async function settleAll(workers: Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(workers)) if (outcome.status === 'rejected') throw outcome.reason;
}
