import { translateErrors } from './backend/translate-errors.ts';
import { LlmError } from './errors.ts';

/** More tokens than the context of the program holds. Nothing of the call has run. */
export class ContextOverflowError extends LlmError {
  /** Tokens that the sequence would have held. */
  readonly length: number;
  readonly limit: number;

  constructor(length: number, limit: number) {
    super(
      'CONTEXT_OVERFLOW',
      `${String(length)} tokens do not fit a context of ${String(limit)}. Shorten the prompt, truncate the sequence, or make the context longer.`,
    );
    this.length = length;
    this.limit = limit;
  }
}

/** The cache's pool has too few free blocks for this request, and no running request will give any back. */
export class OutOfBlocksError extends LlmError {
  readonly needed: number;
  readonly free: number;
  readonly total: number;

  constructor(needed: number, free: number, total: number) {
    super(
      'OUT_OF_BLOCKS',
      `The cache needs ${String(needed)} more blocks, but ${String(free)} of its ${String(total)} are free. Dispose sequences that are not needed, or make the cache larger.`,
    );
    this.needed = needed;
    this.free = free;
    this.total = total;
  }
}

/** The program was disposed while this request was waiting or running. */
export class ProgramDisposedError extends LlmError {
  constructor() {
    super('PROGRAM_DISPOSED', 'The program was disposed before this request was done.');
  }
}

/** A sequence has one request at a time. */
export class SequenceBusyError extends LlmError {
  constructor() {
    super('SEQUENCE_BUSY', 'A request is running on this sequence. Wait for it, cancel it, or fork before it starts.');
  }
}

/** The logits hold a NaN or an infinity. */
export class NonFiniteLogitsError extends LlmError {
  /** The first instruction with a bad result. Known if the program was made with `debug`. */
  readonly instruction: string | undefined;

  constructor(instruction: string | undefined) {
    const where = instruction ? `The first bad value comes out of ${instruction}.` : 'The option `debug` names where.';
    super('NON_FINITE_LOGITS', `The logits are not finite: a weight is damaged or a value overflowed. ${where}`);
    this.instruction = instruction;
  }
}

/** A file of a saved sequence that cannot be used. */
export class SequenceFileError extends LlmError {
  readonly path: string;

  constructor(path: string, reason: string) {
    super('SEQUENCE_FILE', `${path} cannot be restored: ${reason}.`);
    this.path = path;
  }
}

/** Grammar, mask and biases leave no token to choose. */
export class NothingAllowedError extends LlmError {
  constructor(options?: ErrorOptions) {
    super(
      'NOTHING_ALLOWED',
      'No token may come next: the grammar, the mask or the logit biases rule out every one.',
      options,
    );
  }
}

/** What the addon says of a failure: a code, up to two numbers and a name. */
export interface ProgramFailure {
  readonly error?: string;
  readonly a: number;
  readonly b: number;
  readonly name: string;
}

export function programError(failure: ProgramFailure): LlmError {
  const { error = '', a, b, name } = failure;
  switch (error) {
    case 'CONTEXT_OVERFLOW':
      return new ContextOverflowError(a, b);
    case 'OUT_OF_BLOCKS':
      return new OutOfBlocksError(a, b, Number(name));
    case 'PROGRAM_DISPOSED':
      return new ProgramDisposedError();
    case 'SEQUENCE_BUSY':
      return new SequenceBusyError();
    case 'NON_FINITE_LOGITS':
      return new NonFiniteLogitsError(name === '' ? undefined : name);
    case 'NO_TOKEN_ALLOWED':
      return new NothingAllowedError();
    default:
      return new LlmError('PROGRAM_FAILED', `${error}: ${name}`);
  }
}

/** Calls into the addon about a sequence. `native` tells how full the cache is. */
export function translateProgramErrors<Result>(
  call: () => Result,
  native?: { readonly statistics: () => { readonly freeBlocks: number; readonly blocks: number } },
): Result {
  try {
    return translateErrors(call);
  } catch (error) {
    if (!LlmError.isInstance(error)) throw error;
    if (error.code === 'SEQUENCE_BUSY') throw new SequenceBusyError();
    if (error.code !== 'OUT_OF_BLOCKS' || !native) throw error;
    const { freeBlocks, blocks } = native.statistics();
    throw new OutOfBlocksError(freeBlocks + 1, freeBlocks, blocks);
  }
}
