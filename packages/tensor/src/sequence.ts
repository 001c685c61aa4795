import type { NativeProgram } from './backend/program-calls.ts';
import { DisposedError } from './errors.ts';
import { translateProgramErrors } from './program-errors.ts';

// Blocks are shared by all sequences of a program, so that a forgotten sequence starves the others.
const forgotten = new FinalizationRegistry<{ readonly native: NativeProgram; readonly id: number }>(
  ({ native, id }) => {
    native.releaseSequence(id);
  },
);

/** Tokens with their keys and values in a program's cache. Made by `program.createSequence()`. */
export class Sequence implements Disposable {
  readonly #native: NativeProgram;
  readonly #id: number;
  readonly #blockTokens: number;
  #disposed = false;

  /** @internal */
  constructor(native: NativeProgram, id: number, blockTokens: number) {
    this.#native = native;
    this.#blockTokens = blockTokens;
    this.#id = id;
    forgotten.register(this, { native, id }, this);
  }

  /** @internal */
  get id(): number {
    if (this.#disposed) throw new DisposedError('sequence');
    return this.#id;
  }

  /** Tokens in the cache. */
  get length(): number {
    return translateProgramErrors(() => this.#native.sequenceLength(this.id));
  }

  /** The tokens in the cache. */
  tokens(): Int32Array {
    return translateProgramErrors(() => this.#native.sequenceTokens(this.id));
  }

  /**
   * A second sequence with the same tokens. They share memory until one of them goes on.
   * @throws SequenceBusyError
   */
  fork(): Sequence {
    return new Sequence(
      this.#native,
      translateProgramErrors(() => this.#native.forkSequence(this.id)),
      this.#blockTokens,
    );
  }

  /**
   * Forgets all but the first `length` tokens.
   * @throws SequenceBusyError
   */
  truncate(length: number): void {
    translateProgramErrors(() => {
      this.#native.truncateSequence(this.id, length);
    });
  }

  /**
   * Forgets about `drop` tokens after the first `keep` and moves the later ones to earlier positions, so that an endless text
   * goes on in a limited context. Only whole blocks are kept and dropped: both numbers are rounded up. The tokens that stay
   * have still seen those that are gone.
   * @returns how many tokens were forgotten
   * @throws SequenceBusyError, OutOfBlocksError if there are too few for copies of shared ones, InvalidArgumentError if the sequence is shorter or the model has learned positions
   */
  shift(keep: number, drop: number): number {
    const keepBlocks = Math.ceil(keep / this.#blockTokens);
    const dropBlocks = Math.ceil(drop / this.#blockTokens);
    translateProgramErrors(() => {
      this.#native.shiftSequence(this.id, keepBlocks, dropBlocks);
    }, this.#native);
    return dropBlocks * this.#blockTokens;
  }

  /** Gives the memory back. A request that is running on the sequence is cancelled first. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    forgotten.unregister(this);
    this.#native.releaseSequence(this.#id);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
