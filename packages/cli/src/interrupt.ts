/** The exit code of a command that was stopped by the user, as shells have it: 128 + SIGINT. */
export const interruptedExitCode = 130;

/** Thrown into long calls as the reason of their signal. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted');
    this.name = 'Interrupted';
  }
}

/**
 * A signal that Ctrl-C (or a polite kill) sets off, so that a command can leave things in order. A second Ctrl-C ends the
 * process at once.
 */
export class InterruptSignal implements Disposable {
  readonly #controller = new AbortController();
  readonly #onSignal = (): void => {
    if (this.#controller.signal.aborted) process.exit(interruptedExitCode);
    this.#controller.abort(new Interrupted());
  };

  constructor() {
    process.on('SIGINT', this.#onSignal);
    process.on('SIGTERM', this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#onSignal);
    process.off('SIGTERM', this.#onSignal);
  }
}
