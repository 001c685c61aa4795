import { Presets, SingleBar } from 'cli-progress';
import type { Output } from './output.ts';
import { duration } from './units.ts';

export interface Progress {
  readonly stage: string;
  readonly done: number;
  readonly total: number;
}

/** Shows how far a long call is: a bar with the time left for people, a line at each tenth elsewhere, nothing when quiet. */
export class ProgressDisplay implements Disposable {
  readonly #output: Output;
  readonly #quiet: boolean;
  #bar: SingleBar | undefined;
  #stage = '';
  #started = 0;
  #lastTenth = -1;

  constructor(output: Output, quiet: boolean) {
    this.#output = output;
    this.#quiet = quiet;
  }

  /** To be passed on as `onProgress`. */
  readonly update = ({ stage, done, total }: Progress): void => {
    if (this.#quiet) return;
    if (stage !== this.#stage) this.#begin(stage, total);
    if (this.#bar) {
      this.#bar.setTotal(total);
      this.#bar.update(done, { left: this.#timeLeft(done, total) });
      return;
    }
    const tenth = total > 0 ? Math.floor((done / total) * 10) : 10;
    if (tenth > this.#lastTenth)
      this.#output.note(`${stage}: ${tenth * 10} % ${this.#timeLeft(done, total)}`.trimEnd());
    this.#lastTenth = Math.max(tenth, this.#lastTenth);
  };

  [Symbol.dispose](): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#stage = '';
  }

  #begin(stage: string, total: number): void {
    this[Symbol.dispose]();
    this.#stage = stage;
    this.#started = performance.now();
    this.#lastTenth = -1;
    if (!this.#output.interactive) return;
    this.#bar = new SingleBar(
      { format: `${stage} {bar} {percentage} % {left}`, stream: process.stderr, hideCursor: true, barsize: 30 },
      Presets.shades_classic,
    );
    this.#bar.start(total, 0, { left: '' });
  }

  #timeLeft(done: number, total: number): string {
    const seconds = (performance.now() - this.#started) / 1000;
    // Too early a guess is a wrong one.
    if (done <= 0 || done >= total || seconds < 1) return '';
    return `${duration((seconds / done) * (total - done))} left`;
  }
}
