import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeAtomically } from '@llm/models';
import { guard } from '../output/disk.ts';
import type { InputMeasurement } from './activations.ts';
import type { Evaluation } from './evaluation.ts';
import type { Trial } from './trial.ts';

interface State {
  readonly key: string;
  readonly baseline?: Evaluation;
  readonly trials: Readonly<Record<string, Trial>>;
  /** Of the trial that repairs start from. Times are never measured twice alike: a resumed run needs the first ones. */
  readonly activations?: { readonly trial: string; readonly inputs: readonly InputMeasurement[] };
}

/**
 * What a tuning run has found, on disk after each trial: a run that was killed goes on with it, and comes to the same answer.
 * Findings of another source or other options do not count.
 */
export class TuneJournal {
  readonly #path: string;
  #state: State;

  private constructor(path: string, state: State) {
    this.#path = path;
    this.#state = state;
  }

  static async open(path: string, facts: unknown): Promise<TuneJournal> {
    const key = createHash('sha256').update(JSON.stringify(facts)).digest('hex');
    const text = await readFile(path, 'utf8').catch(() => '');
    const found = stateOf(text);
    return new TuneJournal(path, found?.key === key ? found : { key, trials: {} });
  }

  get baseline(): Evaluation | undefined {
    return this.#state.baseline;
  }

  trial(name: string): Trial | undefined {
    return this.#state.trials[name];
  }

  async keepBaseline(baseline: Evaluation): Promise<void> {
    await this.#write({ ...this.#state, baseline });
  }

  async keep(trial: Trial): Promise<void> {
    await this.#write({ ...this.#state, trials: { ...this.#state.trials, [trial.name]: trial } });
  }

  activations(trial: string): readonly InputMeasurement[] | undefined {
    const { activations } = this.#state;
    return activations?.trial === trial ? activations.inputs : undefined;
  }

  async keepActivations(trial: string, inputs: readonly InputMeasurement[]): Promise<void> {
    await this.#write({ ...this.#state, activations: { trial, inputs } });
  }

  async #write(state: State): Promise<void> {
    this.#state = state;
    await guard(this.#path, async () => {
      await mkdir(dirname(this.#path), { recursive: true });
      await writeAtomically(this.#path, (file) => file.write(new TextEncoder().encode(JSON.stringify(state))));
    });
  }
}

/** Anything but a journal is no journal: the run begins anew. */
function stateOf(text: string): State | undefined {
  try {
    const state = JSON.parse(text) as Partial<State> | null;
    return typeof state?.key === 'string' && typeof state.trials === 'object' ? (state as State) : undefined;
  } catch {
    return undefined;
  }
}
