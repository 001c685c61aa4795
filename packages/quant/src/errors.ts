import { LlmError } from '@llm/tensor';

/** A weight that is NaN or infinite, or too large for a half-precision scale. */
export class UnquantizableWeightError extends LlmError {
  readonly tensor: string;

  constructor(tensor: string, message: string) {
    super('UNQUANTIZABLE_WEIGHT', `${tensor}: ${message}`);
    this.tensor = tensor;
  }
}

/** A recipe that asks for what cannot be done: no layer matched, or a grid that no storage holds. */
export class RecipeError extends LlmError {
  constructor(message: string) {
    super('INVALID_RECIPE', message);
  }
}

/** The output folder is there already, or another run is writing it. */
export class OutputError extends LlmError {
  readonly path: string;

  constructor(path: string, message: string, options?: ErrorOptions) {
    super('OUTPUT', `${path}: ${message}`, options);
    this.path = path;
  }
}

/** Nothing more fits on the disk. What was written stays, and a rerun goes on from there. */
export class DiskFullError extends LlmError {
  readonly path: string;
  /** What the whole output takes, where that was found out before writing. */
  readonly requiredBytes: number | undefined;
  readonly freeBytes: number | undefined;

  constructor(path: string, requiredBytes?: number, freeBytes?: number, options?: ErrorOptions) {
    const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    const reason =
      requiredBytes === undefined || freeBytes === undefined
        ? 'the disk is full'
        : `${mebibytes(requiredBytes)} are needed and ${mebibytes(freeBytes)} are free`;
    super('DISK_FULL', `${path}: ${reason}. Make room and run the same again: it goes on where it was.`, options);
    this.path = path;
    this.requiredBytes = requiredBytes;
    this.freeBytes = freeBytes;
  }
}

/** Calibration text that is missing or too short, or activations that are not finite. */
export class CalibrationError extends LlmError {
  constructor(message: string, options?: ErrorOptions) {
    super('CALIBRATION', message, options);
  }
}

/** The automatic flow cannot go on: the evaluation failed, or there was no time for a single trial. */
export class TuneError extends LlmError {
  constructor(message: string, options?: ErrorOptions) {
    const cause = options?.cause instanceof Error ? ` (${options.cause.message})` : '';
    super('TUNE', `${message}${cause}. What was found so far is kept: the same call goes on from there.`, options);
  }
}
