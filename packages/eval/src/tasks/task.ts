/** What a task asks of a model: the log-probability of a continuation after a context, or of a whole text. */
export type Request =
  | { readonly kind: 'continuation'; readonly context: string; readonly continuation: string }
  | { readonly kind: 'rolling'; readonly text: string };

/** A model's answer to one request. */
export interface Answer {
  /** Sum over the scored tokens, natural logarithm. */
  readonly logProbability: number;
  /** Whether greedy decoding would have written exactly the continuation. */
  readonly greedy: boolean;
}

/** One number of one document. Its metric says how the documents' numbers become one. */
export type DocumentScores = Readonly<Record<string, number>>;

export type MetricKind =
  /** The mean over documents; its error is the standard error of the mean. */
  | 'mean'
  /** exp(-mean): a perplexity per document, for log-probabilities. */
  | 'perplexity'
  /** exp(-sum / sum of `weight`): a perplexity per word or byte. */
  | 'weightedPerplexity'
  /** -sum / sum of `weight` / ln 2. */
  | 'bits';

export interface Metric {
  readonly name: string;
  readonly kind: MetricKind;
  /** The document score that it is made of. */
  readonly of: string;
  /** The document score that counts words or bytes. */
  readonly weight?: string;
  readonly higherIsBetter: boolean;
}

/**
 * A task of the field, defined as EleutherAI's lm-evaluation-harness defines it, zero-shot, to the last character: the
 * requests over the published data hash to the harness's own values.
 */
export interface Task<Document = unknown> {
  readonly name: string;
  readonly description: string;
  /** The metric that is meant when only one is named. */
  readonly primaryMetric: string;
  readonly metrics: readonly Metric[];
  /** Where the hub keeps it, for messages. */
  readonly dataset: string;
  /** Files in a folder that hold it, the first that exists is taken. */
  readonly files: readonly string[];
  /** Turns rows, as read from a file, into documents. */
  documents(rows: readonly Row[]): Document[];
  requests(document: Document): Request[];
  /** `answers` belong to `requests(document)`, in order. */
  score(document: Document, answers: readonly Answer[]): DocumentScores;
}

export type Row = Readonly<Record<string, unknown>>;
