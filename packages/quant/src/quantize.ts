import type { Checkpoint } from '@llm/models';
import { checkOptions, packedByteLength, type Graph } from '@llm/tensor';
import { blocksOf, exchangedWeights, type Block } from './blocks.ts';
import { calibrationSequences, type CalibrationOptions } from './calibration/options.ts';
import { CalibrationError } from './errors.ts';
import { graphWithInputScales, scaledInputs } from './input-scales.ts';
import { quantizeCalibrated, type CalibratedOptions } from './methods/calibrated.ts';
import { quantizeStreamed } from './methods/streamed.ts';
import { modelFiles } from './output/files.ts';
import { OutputFolder } from './output/folder.ts';
import type { OutputTensor } from './output/layout.ts';
import { packedDescription } from './pack.ts';
import { methodSteps, planLayers, recipeOptions, type LayerPlan, type Recipe } from './recipe.ts';
import type { LayerReport, QuantizationReport } from './report.ts';
import { QuantizationRun, type Progress } from './run.ts';
import { denseTensors, fingerprintOf, openSource, type DenseTensor } from './source.ts';
import { findTargets, type Target } from './targets.ts';

export interface QuantizeOptions extends Recipe, CalibratedOptions {
  /** The text to calibrate on. Needed by `gptq`, `awq`, `teq` and `signround`; `rtn` uses it for the clip search. */
  readonly calibration?: CalibrationOptions;
  /**
   * Let `awq` and `teq` scale the input of linears behind an activation that no scale passes (GELU), by a vector of its own: the runtime
   * multiplies by it. GGUF, GPTQ and compressed-tensors have no place for it. Default false.
   */
  readonly inputScales?: boolean;
  /** The folder to write; it must not exist. It is `<output>.partial` until it is complete. */
  readonly output: string;
  /** Weight files are cut at this size. Default 4 GiB. */
  readonly shardBytes?: number;
  readonly onProgress?: (progress: Progress) => void;
  /** Stops the run; what is done stays in `<output>.partial`, and the same call continues it. */
  readonly signal?: AbortSignal;
}

const runOptions = [
  'calibration',
  'inputScales',
  'output',
  'shardBytes',
  'onProgress',
  'signal',
  'gptq',
  'awq',
  'teq',
  'signround',
  'memory',
];

/** Dense tensors are copied in parts of so many bytes. */
const COPY_BYTES = 2 ** 24;

/**
 * Quantizes a model and writes it as a folder that `openCheckpoint` opens and a runtime maps without repacking. Deterministic
 * for the same source, options and calibration text, whatever the number of threads.
 *
 * @param source - a folder, a .gguf file, `hf:owner/name`, or an open checkpoint
 * @throws RecipeError, CalibrationError, UnquantizableWeightError, OutputError, DiskFullError, or the reason of the signal
 */
export async function quantize(source: string | Checkpoint, options: QuantizeOptions): Promise<QuantizationReport> {
  checkOptions(options, [...recipeOptions, ...runOptions], 'quantize()');
  const {
    output,
    shardBytes = 2 ** 32,
    onProgress,
    signal,
    calibration,
    inputScales = false,
    gptq,
    awq,
    teq,
    signround,
    memory,
    ...recipe
  } = options;
  signal?.throwIfAborted();
  using checkpoint = await openSource(source);
  const { graph: original } = checkpoint.architecture.build(checkpoint.config);
  const plans = planLayers(recipe, findTargets(original));
  const quantized = new Set([...plans.keys()].map(({ weight }) => weight));
  const steps = methodSteps[recipe.method];
  const exchanged = (weight: string): boolean => steps.transform !== undefined && quantized.has(weight);
  const graph = inputScales ? graphWithInputScales(checkpoint, original, exchanged) : original;
  const added = new Set(graph.weightNames.filter((name) => !original.weightNames.includes(name)));
  const blocks = blocksOf(graph, exchanged);
  const sequences = await listenTo(checkpoint, calibration, [...plans.values()], steps.calibrated, signal);

  const dense = denseTensors(checkpoint, graph, quantized, changedWeights(blocks, quantized));
  const tensors = outputTensors(graph, plans, dense);
  const sizes = new Map(
    tensors.map((tensor) => [tensor.name, added.has(tensor.name) ? 0 : sourceBytes(checkpoint, tensor)]),
  );
  const settings: CalibratedOptions = {
    ...(gptq && { gptq }),
    ...(awq && { awq }),
    ...(teq && { teq }),
    ...(signround && { signround }),
    ...(memory !== undefined && { memory }),
  };
  const decisive = [recipe, gptq, awq, teq, signround, shardBytes, [...added]];
  const fingerprint = fingerprintOf(checkpoint, decisive, sequences ?? []);
  await using folder = await OutputFolder.open({ path: output, tensors, shardBytes, fingerprint });
  const resumed = folder.records.size;
  const run = new QuantizationRun({ checkpoint, graph, added, blocks, plans, folder, sizes, onProgress, signal });

  if (sequences) await quantizeCalibrated(run, sequences, steps, settings);
  for (const [target, plan] of plans) if (!run.isFinished(target.weight)) await quantizeStreamed(run, target, plan);
  for (const tensor of dense) if (!run.isFinished(tensor.name)) await copyDense(run, tensor);

  const layers = [...plans.keys()].map(({ weight }) => folder.records.get(weight) as LayerReport);
  const bytesAfter = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const report: QuantizationReport = { output, layers, bytesBefore: run.total, bytesAfter, resumed };
  await folder.finish(modelFiles(checkpoint, recipe, report, [...scaledInputs(graph).keys()]));
  return report;
}

async function listenTo(
  checkpoint: Checkpoint,
  calibration: CalibrationOptions | undefined,
  plans: readonly LayerPlan[],
  needed: boolean,
  signal: AbortSignal | undefined,
): Promise<Int32Array[] | undefined> {
  if (calibration) return calibrationSequences(checkpoint, calibration, signal);
  if (needed || plans.some(({ method }) => method === 'gptq'))
    throw new CalibrationError('This method needs text to calibrate on: give `calibration: { documents }`.');
  return undefined;
}

/** What exchanges of scales change besides the weights that are quantized. */
function changedWeights(blocks: readonly Block[], quantized: ReadonlySet<string>): Set<string> {
  const changed = blocks.flatMap(({ exchanges }) => exchanges.flatMap(exchangedWeights));
  return new Set(changed.filter((name) => !quantized.has(name)));
}

async function copyDense(run: QuantizationRun, { name, verbatim }: DenseTensor): Promise<void> {
  const info = run.checkpoint.tensors.get(name);
  if (!verbatim || !info) {
    await run.writeDense(name, run.weight(name).data as Float32Array);
    return;
  }
  for (let at = 0; at < info.byteLength; at += COPY_BYTES) {
    const bytes = info.storage.read(info.offset + at, Math.min(COPY_BYTES, info.byteLength - at));
    await run.copy(name, bytes, at);
  }
  await run.finishCopy(name);
}

/** All tensors of the output in the order in which the forward pass uses them. */
function outputTensors(
  graph: Graph,
  plans: ReadonlyMap<Target, LayerPlan>,
  dense: readonly DenseTensor[],
): OutputTensor[] {
  const tensors = new Map<string, OutputTensor>(dense.map((tensor) => [tensor.name, tensor]));
  for (const [{ weight, rows, columns }, { grid }] of plans) {
    const packed = packedDescription(grid, rows, columns);
    const byteLength = packedByteLength(packed);
    tensors.set(weight, { name: weight, dtype: 'U8', shape: [byteLength], byteLength, packed });
  }
  return graph.weightNames.flatMap((name) => tensors.get(name) ?? []);
}

function sourceBytes(checkpoint: Checkpoint, { name, byteLength }: OutputTensor): number {
  return checkpoint.tensors.get(name)?.byteLength ?? byteLength;
}
