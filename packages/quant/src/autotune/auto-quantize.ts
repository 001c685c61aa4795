import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { checkOptions, InvalidOptionError } from '@llm/tensor';
import { RecipeError, TuneError } from '../errors.ts';
import type { CalibrationOptions } from '../calibration/options.ts';
import { quantize, type QuantizeOptions } from '../quantize.ts';
import { methodNames, methodSteps, type MethodName } from '../recipe.ts';
import type { QuantizationReport } from '../report.ts';
import { candidates, type Candidate, type CandidateSpace } from './candidates.ts';
import { judge, relativeLoss, type Evaluate, type Evaluation, type Verdict } from './evaluation.ts';
import { TuneJournal } from './journal.ts';
import { repairs } from './repair.ts';
import type { Trial } from './trial.ts';

export interface AutoQuantizeOptions extends CandidateSpace {
  /** Judges the source and each candidate. */
  readonly evaluate: Evaluate;
  /**
   * What `evaluate` judges by, such as its data: an interrupted run with the same source, options and name goes on, with another
   * it begins anew.
   */
  readonly evaluation?: string;
  /** The acceptable loss, relative to the baseline. Default 0.01: 1 %. */
  readonly tolerance?: number;
  /** What to make least among the recipes that pass. Default 'latency', by `measure`, or by stored bits without it. */
  readonly objective?: 'latency' | 'size';
  /** Milliseconds per token of a candidate, as the runtime that will run it measures them. */
  readonly measure?: (path: string, signal?: AbortSignal) => Promise<number>;
  /** Mean KL divergence of a candidate from the source on some text: a quick and quiet judge that sorts out the hopeless. */
  readonly divergence?: (path: string, signal?: AbortSignal) => Promise<number>;
  /** When to give up. Default: 40 trials, any time. */
  readonly budget?: { readonly trials?: number; readonly minutes?: number };
  /** Documents of the first look and of the second; the third is all. Default [256, 1024]. */
  readonly documents?: readonly number[];
  /** The text for methods that calibrate; without it only those that need none are tried. */
  readonly calibration?: CalibrationOptions;
  /** Of the draw of calibration sequences, where `calibration` has none of its own. */
  readonly seed?: number;
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
  /** Makes a candidate; default {@link quantize}. */
  readonly make?: (source: string, options: QuantizeOptions) => Promise<QuantizationReport>;
}

export interface TuneResult {
  /** Whether the best trial is within tolerance. */
  readonly passed: boolean;
  readonly best: Trial;
  readonly baseline: Evaluation;
  readonly tolerance: number;
  /** In the order in which they were tried. */
  readonly trials: readonly Trial[];
  /** The folder of the best model. */
  readonly output: string;
  readonly seconds: number;
}

const optionNames = [
  ...[
    'evaluate',
    'evaluation',
    'tolerance',
    'objective',
    'measure',
    'divergence',
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
 * if no plain recipe passes, the layers that suffer most are given more bits. A passing recipe that was tried is never passed
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

class Tuning implements AsyncDisposable {
  readonly #source: string;
  readonly #options: AutoQuantizeOptions;
  readonly #journal: TuneJournal;
  readonly #folder: string;
  readonly #trials: Trial[] = [];
  readonly #started = performance.now();
  #baseline!: Evaluation;
  #best: Trial | undefined;

  private constructor(source: string, options: AutoQuantizeOptions, journal: TuneJournal, folder: string) {
    this.#source = source;
    this.#options = options;
    this.#journal = journal;
    this.#folder = folder;
  }

  static async open(source: string, options: AutoQuantizeOptions): Promise<Tuning> {
    const folder = `${options.output}.tune`;
    const { evaluation, calibration, tolerance, seed, documents, mode } = options;
    const { methods, bits, groupSizes, schemes, headBits } = options;
    const facts = { source, evaluation, calibration, tolerance, seed, documents, mode };
    const space = { methods, bits, groupSizes, schemes, headBits };
    await mkdir(folder, { recursive: true });
    return new Tuning(
      source,
      options,
      await TuneJournal.open(`${folder}/journal.json`, { ...facts, ...space }),
      folder,
    );
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
    await rm(output, { recursive: true, force: true });
    await rename(this.#pathOf(best), output);
    await rm(this.#folder, { recursive: true, force: true });
    return {
      passed: best.verdict === 'pass',
      best,
      baseline: this.#baseline,
      tolerance: this.#tolerance,
      trials: this.#trials,
      output,
      seconds: (performance.now() - this.#started) / 1000,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Only the journal and the best candidate are worth keeping for a run that goes on later.
    for (const trial of this.#trials)
      if (trial.name !== this.#best?.name) await rm(this.#pathOf(trial), { recursive: true, force: true });
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
      await this.#try(candidate, 'staged');
    }
    if (this.#best?.verdict === 'pass' || this.#spent()) return;
    const start = this.#best;
    if (!start) return;
    for (const repair of repairs(start)) {
      if (this.#spent()) return;
      const trial = await this.#try(repair, 'staged');
      if (trial.verdict === 'pass') return;
    }
  }

  #bestBits(list: readonly Candidate[]): number {
    return list.find((candidate) => candidate.name === this.#best?.name)?.bitsPerWeight ?? Infinity;
  }

  async #try(candidate: Candidate, how: 'all' | 'staged'): Promise<Trial> {
    this.#options.signal?.throwIfAborted();
    const known = this.#journal.trial(candidate.name);
    const trial = known ?? (await this.#carryOut(candidate, how));
    if (!known) await this.#journal.keep(trial);
    this.#trials.push(trial);
    await this.#compareWithBest(trial);
    this.#options.onTrial?.(trial);
    return trial;
  }

  async #carryOut(candidate: Candidate, how: 'all' | 'staged'): Promise<Trial> {
    const made = await this.#make(candidate).catch((error: unknown) => {
      // A combination that a method does not have, such as a symmetric grid for HQQ.
      if (error instanceof RecipeError) return error.message;
      throw error;
    });
    if (typeof made === 'string') {
      const nothing = { bytes: 0, weightError: 0, layers: [], quantizeSeconds: 0 };
      return { ...nothing, name: candidate.name, recipe: candidate.recipe, verdict: 'skipped', reason: made };
    }
    const signal = this.#options.signal;
    const trial = { ...made, name: candidate.name, recipe: candidate.recipe };
    const path = this.#pathOf(candidate);

    const divergence = await this.#options.divergence?.(path, signal);
    const rival = how === 'staged' ? this.#hopeless(candidate, trial.weightError, divergence) : undefined;
    const measured = divergence === undefined ? {} : { divergence };
    if (rival !== undefined) return { ...trial, ...measured, verdict: 'skipped', reason: rival };

    const started = performance.now();
    const { evaluation, verdict } = await this.#judge(path, how);
    const evaluateSeconds = (performance.now() - started) / 1000;
    const millisecondsPerToken = verdict === 'pass' ? await this.#options.measure?.(path, signal) : undefined;
    return {
      ...trial,
      ...measured,
      evaluation,
      evaluateSeconds,
      relativeLoss: relativeLoss(this.#baseline, evaluation),
      verdict,
      ...(millisecondsPerToken === undefined ? {} : { millisecondsPerToken }),
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

  async #make(candidate: Candidate): Promise<Omit<Trial, 'name' | 'recipe' | 'verdict'>> {
    const { make = quantize, signal } = this.#options;
    const calibration = this.#calibration;
    const path = this.#pathOf(candidate);
    await rm(path, { recursive: true, force: true });
    const started = performance.now();
    const report = await make(this.#source, {
      ...candidate.recipe,
      output: path,
      ...(calibration ? { calibration } : {}),
      ...(signal ? { signal } : {}),
    });
    const weights = report.layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    return {
      bytes: report.bytesAfter,
      weightError:
        report.layers.reduce((sum, l) => sum + l.relativeError * l.rows * l.columns, 0) / Math.max(1, weights),
      layers: report.layers.map(({ weight, bits, groupSize, relativeError, bytesAfter }) => {
        return { weight, bits, groupSize, relativeError, bytesAfter };
      }),
      quantizeSeconds: (performance.now() - started) / 1000,
    };
  }

  async #judgeBaseline(): Promise<Evaluation> {
    const known = this.#journal.baseline;
    if (known) return known;
    this.#progress(0, 1);
    const baseline = await this.#evaluate(this.#source, 'baseline', 'all');
    if (!Number.isFinite(baseline.score)) throw new TuneError(`the source itself scores ${String(baseline.score)}`);
    await this.#journal.keepBaseline(baseline);
    return baseline;
  }

  /** Looks at few documents first and at more where they do not decide. */
  async #judge(path: string, how: 'all' | 'staged'): Promise<{ evaluation: Evaluation; verdict: Verdict }> {
    const stages = how === 'all' || !this.#baseline.documents ? [] : (this.#options.documents ?? [256, 1024]);
    for (const documents of stages) {
      if (documents >= (this.#baseline.documents?.length ?? 0)) break;
      const evaluation = { complete: false, ...(await this.#evaluate(path, 'candidate', documents)) };
      const verdict = judge(this.#baseline, evaluation, this.#tolerance);
      if (verdict === 'fail' || !Number.isFinite(evaluation.score)) return { evaluation, verdict: 'fail' };
      if (verdict === 'pass') return { evaluation, verdict };
    }
    const evaluation = await this.#evaluate(path, 'candidate', 'all');
    return { evaluation, verdict: judge(this.#baseline, evaluation, this.#tolerance) };
  }

  async #evaluate(path: string, kind: 'baseline' | 'candidate', documents: number | 'all'): Promise<Evaluation> {
    const { evaluate, signal } = this.#options;
    try {
      return await evaluate({ path, kind }, { documents, ...(signal ? { signal } : {}) });
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw new TuneError(`the evaluation of ${kind === 'baseline' ? 'the source' : path} failed`, { cause });
    }
  }

  async #compareWithBest(trial: Trial): Promise<void> {
    if (trial.verdict === 'skipped') return;
    if (this.#best && !this.#isBetter(trial, this.#best)) return;
    this.#best = trial;
    // A trial out of the journal of an earlier run may have lost its folder.
    const { make = quantize } = this.#options;
    const calibration = this.#calibration;
    const path = this.#pathOf(trial);
    if (!existsSync(path))
      await make(this.#source, { ...trial.recipe, output: path, ...(calibration ? { calibration } : {}) });
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
    const { trials = 40, minutes = Infinity } = this.#options.budget ?? {};
    return this.#trials.length >= trials || performance.now() - this.#started > minutes * 60000;
  }

  #progress(done: number, total: number): void {
    this.#options.onProgress?.({ stage: 'tune', done, total });
  }

  #pathOf({ name }: { readonly name: string }): string {
    return `${this.#folder}/${name.replaceAll(/[^\w.+-]+/g, '_')}`;
  }
}

/** Whether recipes store their linears in as many bits. */
function sameCost(trial: Trial, candidate: Candidate): boolean {
  const { bits, groupSize } = trial.recipe;
  return bits === candidate.recipe.bits && groupSize === candidate.recipe.groupSize;
}
