import { LlmError } from '@llm/tensor';

/** A file that is not what it claims to be: cut short, inconsistent, or not of its format at all. */
export class CorruptFileError extends LlmError {
  readonly path: string;
  /** The byte at which it was noticed. */
  readonly offset: number;
  readonly reason: string;

  constructor(path: string, offset: number, reason: string, options?: ErrorOptions) {
    super(
      'CORRUPT_FILE',
      `${path} is damaged or not of its format (byte ${offset}): ${reason}. Fetch or write it again.`,
      options,
    );
    this.path = path;
    this.offset = offset;
    this.reason = reason;
  }
}

/** A sound file that uses something which this package does not read. */
export class UnsupportedFormatError extends LlmError {
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super('UNSUPPORTED_FORMAT', `${path} cannot be read here: ${reason}.`, options);
    this.path = path;
  }
}

/** Neither a folder nor a file nor a hub name that holds a model. */
export class ModelNotFoundError extends LlmError {
  readonly source: string;

  constructor(source: string, reason: string, options?: ErrorOptions) {
    super(
      'MODEL_NOT_FOUND',
      `No model at ${source}: ${reason}. Give a model folder, a .gguf file, or hf:owner/name.`,
      options,
    );
    this.source = source;
  }
}

/** A weight that the architecture needs and the checkpoint lacks. */
export class MissingWeightError extends LlmError {
  readonly path: string;
  readonly weight: string;

  constructor(path: string, weight: string) {
    super('MISSING_WEIGHT', `${path} has no weight ${weight}. The download may be incomplete.`);
    this.path = path;
    this.weight = weight;
  }
}

/** A weight with a shape, a type or values that cannot be used. */
export class InvalidWeightError extends LlmError {
  readonly path: string;
  readonly weight: string;

  constructor(path: string, weight: string, reason: string) {
    super('INVALID_WEIGHT', `${path}: weight ${weight} ${reason}.`);
    this.path = path;
    this.weight = weight;
  }
}

/** A configuration with a key missing or a value that makes no sense. */
export class InvalidConfigError extends LlmError {
  readonly path: string;
  /** The key, with dots for nesting: `rope_scaling.factor`. */
  readonly key: string;

  constructor(path: string, key: string, reason: string, options?: ErrorOptions) {
    super('INVALID_CONFIG', `${path}: ${key}: ${reason}.`, options);
    this.path = path;
    this.key = key;
  }
}

/** A tokenizer file that is missing or describes a tokenizer which cannot be built. */
export class TokenizerError extends LlmError {
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super('TOKENIZER', `${path}: ${reason}.`, options);
    this.path = path;
  }
}

/** A chat template that is missing, malformed, or refuses the conversation. */
export class ChatTemplateError extends LlmError {
  constructor(reason: string, options?: ErrorOptions) {
    super('CHAT_TEMPLATE', reason, options);
  }
}

/** A download that failed. `status` is the HTTP status, 0 where no answer came. */
export class DownloadError extends LlmError {
  readonly url: string;
  readonly status: number;

  constructor(url: string, status: number, reason: string, options?: ErrorOptions) {
    super('DOWNLOAD', `${url}: ${reason}`, options);
    this.url = url;
    this.status = status;
  }
}

/** A download whose bytes are not those that the server promised. */
export class ChecksumMismatchError extends LlmError {
  readonly file: string;
  readonly expected: string;
  readonly actual: string;

  constructor(file: string, expected: string, actual: string) {
    super(
      'CHECKSUM_MISMATCH',
      `${file} arrived damaged: its hash is ${actual}, the server says ${expected}. It was deleted; try again.`,
    );
    this.file = file;
    this.expected = expected;
    this.actual = actual;
  }
}

/** A file that could not be written: a full disk, a missing folder, no permission. Nothing half-written is left. */
export class WriteError extends LlmError {
  readonly path: string;
  /** The system's code, such as `ENOSPC`. */
  readonly systemCode: string | undefined;

  constructor(path: string, cause: unknown) {
    const systemCode = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : undefined;
    const reason =
      systemCode === 'ENOSPC'
        ? 'the disk is full. Free some space and run again'
        : `it could not be written (${String(cause)})`;
    super('WRITE', `${path}: ${reason}.`, { cause });
    this.path = path;
    this.systemCode = systemCode;
  }
}

/** A kind of model that is not described here. */
export class UnsupportedArchitectureError extends LlmError {
  readonly modelType: string;
  readonly supported: readonly string[];
  /** For a config that looks like Llama's: the keys that it has besides. */
  readonly differences: readonly string[] | undefined;

  constructor(modelType: string, supported: readonly string[], differences?: readonly string[]) {
    const like =
      differences &&
      `\nIts config looks like Llama's${differences.length > 0 ? ` but has ${differences.join(', ')}` : ' in every key'}.`;
    super(
      'UNSUPPORTED_ARCHITECTURE',
      `Models of the type '${modelType}' cannot be run here. Those of these types can: ${supported.join(', ')}.${like ?? ''}`,
    );
    this.modelType = modelType;
    this.supported = supported;
    this.differences = differences;
  }
}

/** A pickle that holds more than tensors: it was refused, and nothing of it was run. */
export class PickleError extends LlmError {
  readonly path: string;
  /** The function or class that it wants, or the operation. */
  readonly wanted: string;

  constructor(path: string, wanted: string) {
    super(
      'PICKLE_REFUSED',
      `${path} was refused: its pickle wants ${wanted}, and only tensors are read from such files. Use safetensors instead.`,
    );
    this.path = path;
    this.wanted = wanted;
  }
}
