import { meanOf, perplexityOf, ratioOf, type Estimate } from './statistics.ts';
import type { DocumentScores, Metric, Task } from './tasks/task.ts';

/** A task's metrics over the documents scored. */
export interface TaskResult {
  readonly task: string;
  readonly documents: number;
  readonly metrics: Readonly<Record<string, MetricResult>>;
}

export interface MetricResult extends Estimate {
  readonly higherIsBetter: boolean;
}

export function aggregate(task: Task, scores: readonly DocumentScores[]): TaskResult {
  const metrics = task.metrics.map((metric) => [
    metric.name,
    { ...estimate(metric, scores), higherIsBetter: metric.higherIsBetter },
  ]);
  return { task: task.name, documents: scores.length, metrics: Object.fromEntries(metrics) as TaskResult['metrics'] };
}

function estimate(metric: Metric, scores: readonly DocumentScores[]): Estimate {
  const column = (name: string) => scores.map((score) => score[name] ?? Number.NaN);
  const values = column(metric.of);
  switch (metric.kind) {
    case 'mean':
      return meanOf(values);
    case 'perplexity':
      return perplexityOf(values);
    case 'weightedPerplexity': {
      const { value, standardError } = ratioOf(values, column(metric.weight ?? ''));
      const perplexity = Math.exp(-value);
      return { value: perplexity, standardError: standardError && perplexity * standardError };
    }
    case 'bits': {
      const { value, standardError } = ratioOf(values, column(metric.weight ?? ''));
      return { value: -value / Math.LN2, standardError: standardError && standardError / Math.LN2 };
    }
  }
}
