import { basename } from 'node:path';
import { evaluate, modelScorer, perplexity, taskNamed, type Task } from '@llm/eval';
import type { Evaluation, EvaluationRequest, EvaluationTarget } from '@llm/quant';
import { decodeMilliseconds, Model, type LoadOptions } from '@llm/runtime';
import { InvalidOptionError, threadPlan } from '@llm/tensor';
import type { CalibrationFlags } from '../calibration-options.ts';
import type { Progress } from '../progress.ts';
import { readText } from '../read-text.ts';

/** What models are judged by, as `llm tune` is told. */
export interface JudgeFlags extends CalibrationFlags {
  readonly output: string;
  readonly tasks?: readonly string[];
  readonly data?: string;
  readonly limit?: number;
  readonly perplexity?: string;
  readonly threads?: number;
}

/** The part of the flags of `llm tune` that judging needs, for another process. */
export function judgeFlags(flags: JudgeFlags): Omit<JudgeFlags, 'output'> {
  const { tasks, data, limit, perplexity: text, threads, calibration, samples, sampleTokens, seed } = flags;
  const given = { tasks, data, limit, perplexity: text, threads, calibration, samples, sampleTokens, seed };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Runs models for the tuner: accuracy on tasks, or perplexity of a text; and speed. */
export class Judge {
  readonly description: string;
  readonly threads: number;
  /** The same for runs whose findings can be mixed. */
  readonly key: string;
  readonly #source: string;
  readonly #tasks: readonly Task[];
  readonly #flags: JudgeFlags;
  readonly #text: string | undefined;
  readonly #onProgress: (progress: Progress) => void;

  private constructor(
    source: string,
    flags: JudgeFlags,
    tasks: readonly Task[],
    text: string | undefined,
    onProgress: (progress: Progress) => void,
  ) {
    this.#source = source;
    this.#flags = flags;
    this.#tasks = tasks;
    this.#text = text;
    this.#onProgress = onProgress;
    this.threads = flags.threads ?? threadPlan().threads;
    const names = tasks.map((task) => task.name).join(', ');
    const first = flags.limit === undefined ? '' : `first ${flags.limit} `;
    this.description =
      text === undefined
        ? `accuracy over the ${first}documents of ${names}`
        : `perplexity of ${flags.perplexity ?? ''}`;
    this.key = JSON.stringify([this.description, flags.data]);
  }

  /** @throws {@link InvalidOptionError} without something to judge by; FileAccessError if the text cannot be read */
  static async create(
    source: string,
    flags: JudgeFlags,
    onProgress: (progress: Progress) => void = () => undefined,
  ): Promise<Judge> {
    if (flags.perplexity !== undefined)
      return new Judge(source, flags, [], await readText(flags.perplexity), onProgress);
    if (!flags.tasks || flags.data === undefined)
      throw new InvalidOptionError('tasks', flags.tasks?.join() ?? '', [
        '--tasks with --data',
        '--perplexity with a text file',
      ]);
    return new Judge(source, flags, flags.tasks.map(taskNamed), undefined, onProgress);
  }

  async evaluate({ path, kind }: EvaluationTarget, { documents, signal }: EvaluationRequest): Promise<Evaluation> {
    // The original in its own precision, candidates as they will run.
    const options: LoadOptions = kind === 'baseline' ? { compute: 'f32', kvCache: { type: 'f32' } } : {};
    await using model = await Model.load(path, {
      ...options,
      threads: this.threads,
      ...(signal ? { signal } : {}),
    });
    const scorer = modelScorer(model);
    const name = kind === 'baseline' ? 'original' : basename(path);
    const common = {
      ...(signal ? { signal } : {}),
      onProgress: ({ stage, done, total }: Progress) => {
        this.#onProgress({ stage: `${name}: ${stage}`, done, total });
      },
    };
    if (this.#text !== undefined) {
      const { value } = await perplexity(scorer, this.#text, { ...common, convention: 'all' });
      return { score: value, higherIsBetter: false };
    }
    const all = this.#flags.limit ?? Infinity;
    const limit = Math.min(documents === 'all' ? Infinity : Math.ceil(documents / this.#tasks.length), all);
    const result = await evaluate(
      scorer,
      this.#tasks.map((task) => ({ task, data: this.#flags.data ?? '' })),
      {
        ...common,
        ...(Number.isFinite(limit) ? { limit } : {}),
        // A killed run scores no document again, and a closer look none of the first.
        journal: `${this.#flags.output}.tune/documents.jsonl`,
        modelName: this.#modelName(name),
      },
    );
    const scores = interleave(
      this.#tasks.map((task) => (result.documents[task.name] ?? []).map((score) => score[task.primaryMetric]!)),
    );
    const score = scores.reduce((sum, value) => sum + value, 0) / scores.length;
    return { score, documents: scores, complete: documents === 'all' };
  }

  /** Milliseconds per token, decoding. */
  async measure(path: string, signal?: AbortSignal): Promise<number> {
    await using model = await Model.load(path, { threads: this.threads });
    return await decodeMilliseconds(model.program, signal ? { signal } : {});
  }

  /** A recipe makes another model from another source, or with another text to calibrate on. */
  #modelName(name: string): string {
    const { calibration, samples, sampleTokens, seed } = this.#flags;
    return JSON.stringify([this.#source, name, calibration, samples, sampleTokens, seed]);
  }
}

/** The first document of each list, then the second: the first n of every list are the first of the whole. */
export function interleave(lists: readonly (readonly number[])[]): number[] {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => (i < list.length ? [list[i]!] : []))).flat();
}
