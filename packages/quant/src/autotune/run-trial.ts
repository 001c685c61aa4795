import { rm } from 'node:fs/promises';
import type { CalibrationOptions } from '../calibration/options.ts';
import { RecipeError, TuneError } from '../errors.ts';
import { quantize, type QuantizeOptions } from '../quantize.ts';
import type { Recipe } from '../recipe.ts';
import type { QuantizationReport } from '../report.ts';
import { judge, relativeLoss, type Evaluate, type Evaluation, type Verdict } from './evaluation.ts';
import type { Trial } from './trial.ts';

/** All that has to be known to try a recipe, also in another process: it survives JSON. */
export interface TrialRequest {
  /** The model, by a name that means the same to whoever tries. */
  readonly source: string;
  readonly name: string;
  readonly recipe: Recipe;
  readonly calibration?: CalibrationOptions;
  readonly baseline: Evaluation;
  readonly tolerance: number;
  /** Documents of the looks before all are scored; a look that decides is the last. */
  readonly stages: readonly number[];
  /** Whether only a look at all documents may let a recipe pass. */
  readonly passOnAllOnly?: boolean;
}

/** How recipes are made and judged. */
export interface TrialTools {
  /** Judges the source and each candidate. */
  readonly evaluate: Evaluate;
  /** Milliseconds per token of a candidate, as the runtime that will run it measures them. */
  readonly measure?: (path: string, signal?: AbortSignal) => Promise<number>;
  /** Mean KL divergence of a candidate from the source on some text: a quick and quiet judge that sorts out the hopeless. */
  readonly divergence?: (path: string, signal?: AbortSignal) => Promise<number>;
  /** Makes a candidate; default {@link quantize}. */
  readonly make?: (source: string, options: QuantizeOptions) => Promise<QuantizationReport>;
}

/** Says what makes a candidate hopeless, by what is known before it is evaluated. */
export type Filter = (weightError: number, divergence: number | undefined) => string | undefined;

/**
 * Makes the model of a recipe in `path`, and judges and measures it. The folder stays; one of an earlier trial is replaced.
 * @throws {@link TuneError} if the evaluation fails
 */
export async function runTrial(
  request: TrialRequest,
  path: string,
  tools: TrialTools,
  signal?: AbortSignal,
  filter: Filter = () => undefined,
): Promise<Trial> {
  const { name, recipe } = request;
  await rm(path, { recursive: true, force: true });
  const made = await makeCandidate(request, path, tools, signal).catch((error: unknown) => {
    // A combination that a method does not have, such as a symmetric grid for HQQ.
    if (error instanceof RecipeError) return error.message;
    throw error;
  });
  if (typeof made === 'string') {
    const nothing = { bytes: 0, weightError: 0, layers: [], quantizeSeconds: 0 };
    return { ...nothing, name, recipe, verdict: 'skipped', reason: made };
  }
  const divergence = await tools.divergence?.(path, signal);
  const trial = { ...made, name, recipe, ...(divergence === undefined ? {} : { divergence }) };
  const reason = filter(trial.weightError, divergence);
  if (reason !== undefined) return { ...trial, verdict: 'skipped', reason };
  return { ...trial, ...(await judgeCandidate(request, path, tools, signal)) };
}

/** Makes the model of a recipe in `path`. */
export async function makeCandidate(
  { source, recipe, calibration }: Pick<TrialRequest, 'source' | 'recipe' | 'calibration'>,
  path: string,
  { make = quantize }: Pick<TrialTools, 'make'>,
  signal: AbortSignal | undefined,
): Promise<Pick<Trial, 'bytes' | 'weightError' | 'layers' | 'quantizeSeconds'>> {
  const started = performance.now();
  const report = await make(source, {
    ...recipe,
    output: path,
    ...(calibration ? { calibration } : {}),
    ...(signal ? { signal } : {}),
  });
  const weights = report.layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  return {
    bytes: report.bytesAfter,
    weightError: report.layers.reduce((sum, l) => sum + l.relativeError * l.rows * l.columns, 0) / Math.max(1, weights),
    layers: report.layers.map(({ weight, bits, groupSize, compute, relativeError, bytesAfter }) => {
      return { weight, bits, groupSize, ...(compute && { compute }), relativeError, bytesAfter };
    }),
    quantizeSeconds: (performance.now() - started) / 1000,
  };
}

/** Looks at few documents first and at more where they do not decide; what passes is measured. */
export async function judgeCandidate(
  request: TrialRequest,
  path: string,
  tools: TrialTools,
  signal: AbortSignal | undefined,
): Promise<
  Pick<Trial, 'verdict' | 'reason' | 'evaluation' | 'relativeLoss' | 'evaluateSeconds' | 'millisecondsPerToken'>
> {
  const started = performance.now();
  const { evaluation, verdict } = await look(request, path, tools.evaluate, signal);
  const evaluateSeconds = (performance.now() - started) / 1000;
  if (!Number.isFinite(evaluation.score))
    return { verdict: 'fail', reason: `scores ${String(evaluation.score)}`, evaluateSeconds };
  const millisecondsPerToken = verdict === 'pass' ? await tools.measure?.(path, signal) : undefined;
  return {
    evaluation,
    evaluateSeconds,
    relativeLoss: relativeLoss(request.baseline, evaluation),
    verdict,
    ...(millisecondsPerToken === undefined ? {} : { millisecondsPerToken }),
  };
}

async function look(
  { baseline, tolerance, stages, passOnAllOnly }: TrialRequest,
  path: string,
  evaluate: Evaluate,
  signal: AbortSignal | undefined,
): Promise<{ evaluation: Evaluation; verdict: Verdict }> {
  for (const documents of baseline.documents ? stages : []) {
    if (documents >= (baseline.documents?.length ?? 0)) break;
    const found = await callEvaluate(evaluate, path, 'candidate', documents, signal);
    const evaluation = { ...found, complete: false };
    const verdict = judge(baseline, evaluation, tolerance);
    if (verdict === 'fail' || (verdict === 'pass' && !passOnAllOnly)) return { evaluation, verdict };
  }
  const evaluation = await callEvaluate(evaluate, path, 'candidate', 'all', signal);
  return { evaluation, verdict: judge(baseline, evaluation, tolerance) };
}

/** @throws {@link TuneError} for whatever an evaluation throws, the reason of the signal if that is why */
export async function callEvaluate(
  evaluate: Evaluate,
  path: string,
  kind: 'baseline' | 'candidate',
  documents: number | 'all',
  signal: AbortSignal | undefined,
): Promise<Evaluation> {
  try {
    return await evaluate({ path, kind }, { documents, ...(signal ? { signal } : {}) });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new TuneError(`the evaluation of ${kind === 'baseline' ? 'the source' : path} failed`, { cause });
  }
}
