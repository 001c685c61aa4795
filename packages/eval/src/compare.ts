import type { EvaluationResult } from './evaluate.ts';
import { BaselineError } from './errors.ts';
import type { Perplexity } from './perplexity.ts';
import { pairedDifference, ratioOf } from './statistics.ts';
import { taskNamed } from './tasks/registry.ts';
import type { DocumentScores, Metric } from './tasks/task.ts';

/** What `llm eval --json` prints: documents' scores, and a text's perplexity where one was measured. */
export interface StoredResult extends EvaluationResult {
  readonly perplexity?: Perplexity;
}

/** A task's primary metric, or a perplexity, of a candidate beside a baseline's on the same documents. */
export interface Comparison {
  readonly task: string;
  readonly metric: string;
  readonly baseline: number;
  readonly candidate: number;
  /**
   * The share of the baseline's quality that is left, 1 where nothing is lost: candidate / baseline, for perplexities baseline /
   * candidate. 1 where the baseline has nothing to lose, such as an accuracy of 0.
   */
  readonly kept: number;
  /** Of `kept`, by the differences document for document; undefined where there is only one. */
  readonly standardError: number | undefined;
}

/**
 * Compares results on the same documents, pair by pair: far less noisy than the difference of two scores with an error each.
 * @throws {@link BaselineError} if tasks, documents or the way of measuring perplexity differ
 */
export function compareResults(baseline: StoredResult, candidate: StoredResult): Comparison[] {
  const comparisons = candidate.tasks.map(({ task: name }) => {
    const task = taskNamed(name);
    const metric = task.metrics.find((one) => one.name === task.primaryMetric)!;
    const before = baseline.documents[name];
    const after = candidate.documents[name] ?? [];
    if (!before) throw new BaselineError(`The baseline has no ${name}, only ${namesOf(baseline)}.`);
    if (before.length !== after.length)
      throw new BaselineError(
        `The baseline scored ${before.length} documents of ${name}, this run ${after.length}. Give both the same --limit.`,
      );
    return compareTask(name, metric, before, after, valueOf(baseline, name), valueOf(candidate, name));
  });
  if (candidate.perplexity) comparisons.push(comparePerplexity(baseline.perplexity, candidate.perplexity));
  return comparisons;
}

function compareTask(
  task: string,
  metric: Metric,
  before: readonly DocumentScores[],
  after: readonly DocumentScores[],
  baseline: number,
  candidate: number,
): Comparison {
  const column = (scores: readonly DocumentScores[], name: string): number[] =>
    scores.map((score) => score[name] ?? Number.NaN);
  const [x, y] = [column(before, metric.of), column(after, metric.of)];
  const common = { task, metric: metric.name, baseline, candidate };
  if (metric.kind === 'mean') {
    if (baseline === 0) return { ...common, kept: candidate >= 0 ? 1 : Number.NaN, standardError: undefined };
    const { standardError } = pairedDifference(x, y);
    const error = standardError / Math.abs(baseline);
    return { ...common, kept: candidate / baseline, standardError: Number.isFinite(error) ? error : undefined };
  }
  // Of perplexities the ratio is the exponential of a mean difference.
  const weights = metric.weight === undefined ? before.map(() => 1) : column(before, metric.weight);
  const differences = y.map((value, i) => value - (x[i] ?? Number.NaN));
  const { value, standardError } = ratioOf(differences, weights);
  const kept = Math.exp(value);
  return { ...common, kept, standardError: standardError && kept * standardError };
}

function comparePerplexity(baseline: Perplexity | undefined, candidate: Perplexity): Comparison {
  if (!baseline) throw new BaselineError('The baseline has no perplexity of a text.');
  for (const key of ['convention', 'window', 'windows', 'scoredTokens'] as const)
    if (baseline[key] !== candidate[key])
      throw new BaselineError(
        `The baseline's perplexity has ${key} ${baseline[key]}, this one ${candidate[key]}: they cannot be compared.`,
      );
  return {
    task: 'text',
    metric: 'perplexity',
    baseline: baseline.value,
    candidate: candidate.value,
    kept: baseline.value / candidate.value,
    standardError: undefined,
  };
}

function valueOf(result: EvaluationResult, name: string): number {
  const found = result.tasks.find(({ task }) => task === name);
  return found?.metrics[taskNamed(name).primaryMetric]?.value ?? Number.NaN;
}

function namesOf({ tasks }: EvaluationResult): string {
  return tasks.map(({ task }) => task).join(', ') || 'no task';
}

/**
 * Reads what `llm eval --json` printed.
 * @param origin - where the text is from, for messages
 * @throws {@link BaselineError}
 */
export function parseResult(text: string, origin: string): StoredResult {
  const wanted = `${origin} is no result of an evaluation. Make one with: llm eval <model> … --json > ${origin}`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new BaselineError(wanted, { cause });
  }
  const { tasks, documents } = (value ?? {}) as { readonly [Key in keyof StoredResult]?: unknown };
  if (!Array.isArray(tasks) || !isObject(documents)) throw new BaselineError(wanted);
  for (const result of tasks as unknown[]) {
    const { task, metrics } = isObject(result) ? result : {};
    const scores = typeof task === 'string' ? documents[task] : undefined;
    if (!isObject(metrics) || !Array.isArray(scores) || !scores.every(isObject)) throw new BaselineError(wanted);
  }
  return value as StoredResult;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
