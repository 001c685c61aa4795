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
  #disposed = false;

  /** @internal */
  constructor(native: NativeProgram, id: number) {
    this.#native = native;
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
