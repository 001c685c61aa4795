import { LlmError } from '@llm/tensor';

/** A graph that cannot be turned into a native program. */
export class UnsupportedGraphError extends LlmError {
  /** The part of the graph. */
  readonly part: string;

  constructor(part: string, reason: string) {
    super('UNSUPPORTED_GRAPH', `The graph cannot be compiled at ${part}: ${reason}.`);
    this.part = part;
  }
}

/** A model, with its cache and buffers, that would need more memory than `maxMemory` allows. */
export class MemoryLimitError extends LlmError {
  readonly requiredBytes: number;
  readonly maxMemory: number;

  constructor(requiredBytes: number, maxMemory: number) {
    const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
    super(
      'MEMORY_LIMIT',
      `The model needs ${mebibytes(requiredBytes)}, more than maxMemory (${mebibytes(maxMemory)}) allows. ` +
        'Shorten contextLength, choose a smaller kvCache type or weights of fewer bits, or allow more.',
    );
    this.requiredBytes = requiredBytes;
    this.maxMemory = maxMemory;
  }
}

/** Messages were given to a model that has no chat template. */
export class NoChatTemplateError extends LlmError {
  constructor(path: string) {
    super(
      'NO_CHAT_TEMPLATE',
      `${path} has no chat template, so that messages have no form it knows. Give the prompt as one text.`,
    );
  }
}

/** A continuation without a single token. */
export class EmptyContinuationError extends LlmError {
  constructor() {
    super('EMPTY_CONTINUATION', 'The continuation has no tokens, so that there is nothing to score.');
  }
}
