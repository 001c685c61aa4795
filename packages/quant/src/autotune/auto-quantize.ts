import { mkdir, rename, rm } from 'node:fs/promises';
import { checkOptions, InvalidOptionError } from '@llm/tensor';
import { OutputError, TuneError } from '../errors.ts';
import type { CalibrationOptions } from '../calibration/options.ts';
import { exists, guard } from '../output/disk.ts';
import { lockFolder } from '../output/lock.ts';
import { methodNames, methodSteps, type MethodName } from '../recipe.ts';
import { measureActivations, type InputMeasurement, type MeasureActivationsOptions } from './activations.ts';
import { candidates, type Candidate, type CandidateSpace } from './candidates.ts';
import type { Evaluation } from './evaluation.ts';
import { TuneJournal } from './journal.ts';
import { repairs } from './repair.ts';
import {
  callEvaluate,
  judgeCandidate,
  makeCandidate,
  runTrial,
  type Filter,
  type TrialRequest,
  type TrialTools,
} from './run-trial.ts';
import type { Trial } from './trial.ts';

/** Processes that try recipes, perhaps on other machines. */
export interface TrialWorkers {
  /** How many trials may be under way at once. */
  readonly parallel: number;
  /** Tries a recipe; the model that it makes stays with the worker. A trial of a worker that dies is tried by another. */
  run(request: TrialRequest, signal: AbortSignal): Promise<Trial>;
}

export interface AutoQuantizeOptions extends CandidateSpace, TrialTools {
  /**
   * What `evaluate` judges by, such as its data: an interrupted run with the same source, options and name goes on, with another
   * it begins anew.
   */
  readonly evaluation?: string;
  /**
   * Who tries the recipes; default this process, one after the other. Workers also try what is next in line; the answer is the
   * same, since results count in the order of the recipes, and what would not have been tried does not count.
   */
  readonly workers?: TrialWorkers;
  /** The acceptable loss, relative to the baseline. Default 0.01: 1 %. */
  readonly tolerance?: number;
  /** What to make least among the recipes that pass. Default 'latency', by `measure`, or by stored bits without it. */
  readonly objective?: 'latency' | 'size';
  /** When to give up. Default: 40 trials, any time. */
  readonly budget?: { readonly trials?: number; readonly minutes?: number };
  /** Documents of the first look and of the second; the third is all. Default [256, 1024]. */
  readonly documents?: readonly number[];
  /** The text for methods that calibrate; without it only those that need none are tried. */
  readonly calibration?: CalibrationOptions;
  /** Of the draw of calibration sequences, where `calibration` has none of its own. */
  readonly seed?: number;
  /**
   * Measures what rounded activations do to the linears of the source, and what more exact arithmetic would take, when no plain recipe
   * passes. Default {@link measureActivations}.
   */
  readonly activations?: (source: string, options: MeasureActivationsOptions) => Promise<readonly InputMeasurement[]>;
  /** The folder for the best model; it must not exist. `<output>.tune` holds the trials until the run is over. */
  readonly output: string;
  /**
   * `neural-compressor` reproduces Intel's tuner: recipes in the order of the space, the first that is within tolerance wins,
   * else the best score.
   */
  readonly mode?: 'default' | 'neural-compressor';
  readonly onTrial?: (trial: Trial) => void;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
  readonly signal?: AbortSignal;
}

export interface TuneResult {
  /** Whether the best trial is within tolerance. */
  readonly passed: boolean;
  readonly best: Trial;
  readonly baseline: Evaluation;
  readonly tolerance: number;
  /** In the order in which they were tried. */
  readonly trials: readonly Trial[];
  /** What was measured of activations, where recipes had to be mended. */
  readonly activations?: readonly InputMeasurement[];
  /** The folder of the best model. */
  readonly output: string;
  readonly seconds: number;
}

const optionNames = [
  ...[
    'evaluate',
    'evaluation',
    'workers',
    'tolerance',
    'objective',
    'measure',
    'divergence',
    'activations',
    'budget',
    'documents',
    'seed',
    'output',
    'mode',
    'calibration',
  ],
  ...['onTrial', 'onProgress', 'signal', 'make', 'methods', 'bits', 'groupSizes', 'schemes', 'headBits'],
];

/**
 * Finds the cheapest recipe that keeps a model within tolerance of itself: quantize, evaluate, decide, go on. Recipes are tried
 * from the cheapest to run; weight error and divergence sort out the hopeless, evaluation stops as soon as it is decided, and
 * if no plain recipe passes, the layers that suffer most are given more bits, and those whose activations have outliers exact
 * arithmetic. A passing recipe that was tried is never passed
 * over for a failing one. Interrupted runs go on where they stopped and come to the same answer.
 *
 * @throws TuneError if the evaluation fails or gives no number
 */
export async function autoQuantize(source: string, options: AutoQuantizeOptions): Promise<TuneResult> {
  checkOptions(options, optionNames, 'autoQuantize()');
  if (options.tolerance !== undefined && !(options.tolerance >= 0 && options.tolerance < 1))
    throw new InvalidOptionError('tolerance', String(options.tolerance), ['a share from 0 to 1, such as 0.01']);
  await using tuning = await Tuning.open(source, options);
  return await tuning.run();
}

type Looks = 'all' | 'staged';

const defaultTrials = 40;

class Tuning implements AsyncDisposable {
  readonly #source: string;
  readonly #options: AutoQuantizeOptions;
  readonly #journal: TuneJournal;
  readonly #folder: string;
  readonly #trials: Trial[] = [];
  readonly #started = performance.now();
  readonly #ahead = new Map<string, { readonly trial: Promise<Trial>; readonly stop: AbortController }>();
  readonly #unlock: () => Promise<void>;
  #baseline!: Evaluation;
  #best: Trial | undefined;
  #activations: readonly InputMeasurement[] | undefined;

  private constructor(
    source: string,
    options: AutoQuantizeOptions,
    journal: TuneJournal,
    folder: string,
    unlock: () => Promise<void>,
  ) {
    this.#source = source;
    this.#options = options;
    this.#journal = journal;
    this.#folder = folder;
    this.#unlock = unlock;
  }

  static async open(source: string, options: AutoQuantizeOptions): Promise<Tuning> {
    const folder = `${options.output}.tune`;
    const { evaluation, calibration, tolerance, seed, documents, mode } = options;
    const { methods, bits, groupSizes, schemes, headBits } = options;
    const facts = { source, evaluation, calibration, tolerance, seed, documents, mode };
    const space = { methods, bits, groupSizes, schemes, headBits };
    if (await exists(options.output))
      throw new OutputError(options.output, 'this exists already. Choose another output folder, or remove it.');
    const unlock = await guard(folder, async () => {
      await mkdir(folder, { recursive: true });
      return lockFolder(folder);
    });
    try {
      const journal = await TuneJournal.open(`${folder}/journal.json`, { ...facts, ...space });
      return new Tuning(source, options, journal, folder, unlock);
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  async run(): Promise<TuneResult> {
    const { mode = 'default', output } = this.#options;
    this.#baseline = await this.#judgeBaseline();
    const list = mode === 'neural-compressor' ? this.#inGivenOrder() : candidates(this.#options, this.#methods);
    if (mode === 'neural-compressor') await this.#firstThatPasses(list);
    else await this.#cheapestThatPasses(list);

    const best = this.#best;
    if (!best)
      throw new TuneError('no recipe was tried: the budget leaves no time for one. Give it more trials or minutes');
    await this.#makeIfGone(best);
    await rename(this.#pathOf(best), output);
    await rm(this.#folder, { recursive: true, force: true });
    return {
      passed: best.verdict === 'pass',
      best,
      baseline: this.#baseline,
      tolerance: this.#tolerance,
      trials: this.#trials,
      ...(this.#activations && { activations: this.#activations }),
      output,
      seconds: (performance.now() - this.#started) / 1000,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ahead = [...this.#ahead.values()];
    // All before waiting for one: none goes on in vain meanwhile.
    for (const { stop } of ahead) stop.abort(new TuneError('the trial is not needed any more'));
    await Promise.allSettled(ahead.map(({ trial }) => trial));
    await this.#unlock();
  }

  get #tolerance(): number {
    return this.#options.tolerance ?? 0.01;
  }

  get #calibration(): CalibrationOptions | undefined {
    const { calibration, seed } = this.#options;
    return calibration && { ...(seed === undefined ? {} : { seed }), ...calibration };
  }

  /** Methods that can run: all with calibration text. */
  get #methods(): readonly MethodName[] {
    return this.#options.calibration ? methodNames : methodNames.filter((name) => !methodSteps[name].calibrated);
  }

  /** The order of the space itself, as Intel's tuner expands it. */
  #inGivenOrder(): Candidate[] {
    const { methods = this.#methods, ...space } = this.#options;
    return methods.flatMap((method) => candidates({ ...space, methods: [method] }, this.#methods));
  }

  async #firstThatPasses(list: readonly Candidate[]): Promise<void> {
    for (const [i, candidate] of list.entries()) {
      if (this.#spent()) return;
      this.#progress(i, list.length);
      this.#startAhead(list.slice(i), 'all');
      const trial = await this.#try(candidate, 'all');
      if (trial.verdict === 'pass') return;
    }
  }

  async #cheapestThatPasses(list: readonly Candidate[]): Promise<void> {
    for (const [i, candidate] of list.entries()) {
      // Recipes come cheapest first: after the first that passes, only those as cheap can be better.
      if (this.#best?.verdict === 'pass' && candidate.bitsPerWeight > this.#bestBits(list)) break;
      if (this.#spent()) return;
      this.#progress(i, list.length);
      this.#startAhead(list.slice(i), 'staged');
      await this.#try(candidate, 'staged');
    }
    if (this.#best?.verdict === 'pass' || this.#spent()) return;
    const start = this.#best;
    if (!start) return;
    this.#activations = await this.#measureActivations(start);
    const mended = [...repairs(start, this.#activations, this.#options.objective ?? 'latency')];
    for (const [i, repair] of mended.entries()) {
      if (this.#spent()) return;
      this.#progress(list.length + i, list.length + mended.length);
      this.#startAhead(mended.slice(i), 'staged');
      const trial = await this.#try(repair, 'staged');
      if (trial.verdict === 'pass') return;
    }
  }

  async #measureActivations({ name, layers }: Trial): Promise<readonly InputMeasurement[]> {
    const known = this.#journal.activations(name);
    if (known) return known;
    const { activations = measureActivations, signal } = this.#options;
    const calibration = this.#calibration;
    const measured = await activations(this.#source, {
      layers,
      ...(calibration && { calibration }),
      ...(signal && { signal }),
    });
    await this.#journal.keepActivations(name, measured);
    return measured;
  }

  #bestBits(list: readonly Candidate[]): number {
    return list.find((candidate) => candidate.name === this.#best?.name)?.bitsPerWeight ?? Infinity;
  }

  /** Gives workers the next trials in line. */
  #startAhead(list: readonly Candidate[], how: Looks): void {
    const { workers, budget } = this.#options;
    if (!workers) return;
    const room = Math.min(workers.parallel, (budget?.trials ?? defaultTrials) - this.#trials.length);
    for (const candidate of list.slice(0, room)) {
      if (this.#ahead.has(candidate.name) || this.#journal.trial(candidate.name)) continue;
      const stop = new AbortController();
      const { signal } = this.#options;
      const trial = workers.run(
        { ...this.#requestOf(candidate, how), passOnAllOnly: true },
        signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
      );
      // Whether it fails matters only if it is its turn.
      trial.catch(() => undefined);
      this.#ahead.set(candidate.name, { trial, stop });
    }
  }

  async #try(candidate: Candidate, how: Looks): Promise<Trial> {
    this.#options.signal?.throwIfAborted();
    const known = this.#journal.trial(candidate.name);
    const trial = known ?? (await this.#carryOut(candidate, how));
    if (!known) await this.#journal.keep(trial);
    this.#trials.push(trial);
    await this.#compareWithBest(trial);
    this.#options.onTrial?.(trial);
    return trial;
  }

  async #carryOut(candidate: Candidate, how: Looks): Promise<Trial> {
    const filter: Filter = (weightError, divergence) =>
      how === 'staged' ? this.#hopeless(candidate, weightError, divergence) : undefined;
    const ahead = this.#ahead.get(candidate.name);
    if (ahead) {
      const trial = await ahead.trial;
      this.#ahead.delete(candidate.name);
      // The worker did not know what the trials before this one would find.
      const reason = trial.verdict === 'skipped' ? undefined : filter(trial.weightError, trial.divergence);
      return reason === undefined ? trial : skipped(trial, reason);
    }
    const { signal } = this.#options;
    const request = this.#requestOf(candidate, how);
    const path = this.#pathOf(candidate);
    const trial = await runTrial(request, path, this.#options, signal, filter);
    if (trial.verdict !== 'pass' || trial.evaluation?.complete !== false || !this.#wouldBeBest(trial)) return trial;
    // What is to be written has to pass on every document; how fast it is is known.
    const { evaluate } = this.#options;
    const whole = await judgeCandidate({ ...request, stages: [] }, path, { evaluate }, signal);
    const evaluateSeconds = (trial.evaluateSeconds ?? 0) + (whole.evaluateSeconds ?? 0);
    return { ...trial, ...whole, evaluateSeconds };
  }

  #requestOf({ name, recipe }: Pick<Candidate, 'name' | 'recipe'>, how: Looks): TrialRequest {
    const calibration = this.#calibration;
    return {
      ...{ source: this.#source, name, recipe, baseline: this.#baseline, tolerance: this.#tolerance },
      stages: how === 'all' ? [] : (this.#options.documents ?? [256, 1024]),
      ...(calibration ? { calibration } : {}),
    };
  }

  /** Another recipe of the same cost that is far better by a cheap judge, or undefined. */
  #hopeless(candidate: Candidate, weightError: number, divergence: number | undefined): string | undefined {
    const equals = this.#trials.filter((trial) => trial.bytes > 0 && sameCost(trial, candidate));
    const worse = (own: number, other: number | undefined): boolean => other !== undefined && own > 3 * other;
    const rival = equals.find((trial) =>
      divergence === undefined ? worse(weightError, trial.weightError) : worse(divergence, trial.divergence),
    );
    return (
      rival && `${divergence === undefined ? 'weight error' : 'divergence'} over three times that of ${rival.name}`
    );
  }

  async #judgeBaseline(): Promise<Evaluation> {
    const known = this.#journal.baseline;
    if (known) return known;
    this.#progress(0, 1);
    const baseline = await callEvaluate(this.#options.evaluate, this.#source, 'baseline', 'all', this.#options.signal);
    if (!Number.isFinite(baseline.score)) throw new TuneError(`the source itself scores ${String(baseline.score)}`);
    await this.#journal.keepBaseline(baseline);
    return baseline;
  }

  /** Keeps the folder of the best trial only. */
  async #compareWithBest(trial: Trial): Promise<void> {
    const better = trial.verdict !== 'skipped' && this.#wouldBeBest(trial);
    const loser = better ? this.#best : trial;
    if (better) this.#best = trial;
    if (loser) await rm(this.#pathOf(loser), { recursive: true, force: true });
  }

  #wouldBeBest(trial: Trial): boolean {
    return !this.#best || this.#isBetter(trial, this.#best);
  }

  /** The best may be a worker's, or out of the journal of a run that lost its folder. */
  async #makeIfGone(trial: Trial): Promise<void> {
    const path = this.#pathOf(trial);
    if (await exists(path)) return;
    await makeCandidate(this.#requestOf(trial, 'all'), path, this.#options, this.#options.signal);
  }

  #isBetter(a: Trial, b: Trial): boolean {
    if ((a.verdict === 'pass') !== (b.verdict === 'pass')) return a.verdict === 'pass';
    if (a.verdict !== 'pass') return (a.relativeLoss ?? Infinity) < (b.relativeLoss ?? Infinity);
    if (this.#options.mode === 'neural-compressor') return false;
    const latency = (trial: Trial): number => trial.millisecondsPerToken ?? trial.bytes;
    const [first, second] = this.#options.objective === 'size' ? [a.bytes, b.bytes] : [latency(a), latency(b)];
    if (first !== second) return first < second;
    return (a.relativeLoss ?? 0) < (b.relativeLoss ?? 0);
  }

  #spent(): boolean {
    const { trials = defaultTrials, minutes = Infinity } = this.#options.budget ?? {};
    return this.#trials.length >= trials || performance.now() - this.#started > minutes * 60000;
  }

  #progress(done: number, total: number): void {
    this.#options.onProgress?.({ stage: 'tune', done, total });
  }

  #pathOf({ name }: { readonly name: string }): string {
    return `${this.#folder}/${name.replaceAll(/[^\w.+-]+/g, '_')}`;
  }
}

/** A trial as if it had been sorted out before it was judged. */
function skipped(trial: Trial, reason: string): Trial {
  const { name, recipe, bytes, weightError, layers, quantizeSeconds, divergence } = trial;
  const measured = divergence === undefined ? {} : { divergence };
  return { name, recipe, bytes, weightError, layers, quantizeSeconds, ...measured, verdict: 'skipped', reason };
}

/** Whether recipes store their linears in as many bits. */
function sameCost(trial: Trial, candidate: Candidate): boolean {
  const { bits, groupSize } = trial.recipe;
  return bits === candidate.recipe.bits && groupSize === candidate.recipe.groupSize;
}
