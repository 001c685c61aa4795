import { LlmError } from '@llm/tensor';

/** A row of a data set that a task cannot use: a missing field, another split, a label out of range. */
export class DataSetError extends LlmError {
  readonly task: string;
  /** Counted from 0; undefined when the whole file is meant. */
  readonly row: number | undefined;

  constructor(task: string, row: number | undefined, reason: string) {
    super('DATA_SET', `${task}: ${row === undefined ? '' : `row ${row}: `}${reason}`);
    this.task = task;
    this.row = row;
  }
}

/** A score that is no number, or nothing to score. */
export class EvaluationError extends LlmError {
  readonly task: string;
  readonly document: number | undefined;

  constructor(task: string, document: number | undefined, reason: string) {
    const where = document === undefined ? '' : ` document ${document}:`;
    super(
      'EVALUATION',
      `${task}:${where} ${reason}. Check the model's weights and, for quantized activations, try compute: 'f32'.`,
    );
    this.task = task;
    this.document = document;
  }
}

/** The file that keeps scored documents cannot be read or written: a full disk, a folder without permission. */
export class JournalError extends LlmError {
  readonly path: string;

  constructor(path: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(
      'EVALUATION_JOURNAL',
      `${path}: scored documents cannot be kept here (${reason}). What it holds stays: make room or choose another file, and the same evaluation goes on from there.`,
      { cause },
    );
    this.path = path;
  }
}

/** A stored result that a new one cannot be compared with: not a result, other tasks, other documents. */
export class BaselineError extends LlmError {
  constructor(message: string, options?: ErrorOptions) {
    super('BASELINE', message, options);
  }
}
