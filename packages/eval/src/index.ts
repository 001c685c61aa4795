export {
  evaluate,
  type EvaluateOptions,
  type EvaluateProgress,
  type EvaluationResult,
  type TaskSource,
} from './evaluate.ts';
export { compareResults, parseResult, type Comparison, type StoredResult } from './compare.ts';
export { aggregate, type MetricResult, type TaskResult } from './aggregate.ts';
export { formatComparison, formatCsv, formatTable } from './format-results.ts';
export { perplexity, type Perplexity, type PerplexityConvention, type PerplexityOptions } from './perplexity.ts';
export { divergence, DivergenceAccumulator, type Divergence, type DivergenceOptions } from './divergence.ts';
export { answerRequests, encodeContinuation, rollingWindows, type TokenRequest } from './loglikelihood.ts';
export { meanOf, pairedDifference, perplexityOf, ratioOf, type Estimate, type PairedDifference } from './statistics.ts';
export { modelScorer } from './model-scorer.ts';
export type { Scorer, TokenScores } from './scorer.ts';
export { readRows } from './datasets/read-rows.ts';
export { sampleData } from './sample-data.ts';
export { taskNamed, tasks } from './tasks/registry.ts';
export type { Answer, DocumentScores, Metric, MetricKind, Request, Row, Task } from './tasks/task.ts';
export { detokenize, wikitextPages } from './tasks/wikitext.ts';
export { BaselineError, DataSetError, EvaluationError, JournalError } from './errors.ts';
