import { setImmediate } from 'node:timers/promises';
import type { Checkpoint } from '@llm/models';
import { checkOptions, packedByteLength } from '@llm/tensor';
import { modelFiles } from './output/files.ts';
import { OutputFolder } from './output/folder.ts';
import type { OutputTensor } from './output/layout.ts';
import { packedBytes, packedDescription } from './pack.ts';
import { matrixError, quantizeMatrix, type MatrixError } from './quantized-matrix.ts';
import { planLayers, recipeOptions, type LayerPlan, type Recipe } from './recipe.ts';
import type { LayerReport, QuantizationReport } from './report.ts';
import { denseTensors, fingerprintOf, openSource, type DenseTensor } from './source.ts';
import { findTargets, type Target } from './targets.ts';

/** How far a long call has come. */
export interface Progress {
  readonly stage: 'quantize';
  /** Bytes of the source that are done, of `total`. */
  readonly done: number;
  readonly total: number;
}

export interface QuantizeOptions extends Recipe {
  /** The folder to write; it must not exist. It is `<output>.partial` until it is complete. */
  readonly output: string;
  /** Weight files are cut at this size. Default 4 GiB. */
  readonly shardBytes?: number;
  readonly onProgress?: (progress: Progress) => void;
  /** Stops the run; what is done stays in `<output>.partial`, and the same call continues it. */
  readonly signal?: AbortSignal;
}

const runOptions = ['output', 'shardBytes', 'onProgress', 'signal'];

/** Rows are quantized, packed and written in parts of about so many weights, whole blocks of 32 rows each. */
const PART_WEIGHTS = 2 ** 21;
const BLOCK_ROWS = 32;

/** Dense tensors are copied in parts of so many bytes. */
const COPY_BYTES = 2 ** 24;

/**
 * Quantizes a model and writes it as a folder that `openCheckpoint` opens and a runtime maps without repacking.
 *
 * @param source - a folder, a .gguf file, `hf:owner/name`, or an open checkpoint
 * @throws RecipeError, UnquantizableWeightError, OutputError, DiskFullError, or the reason of the signal
 */
export async function quantize(source: string | Checkpoint, options: QuantizeOptions): Promise<QuantizationReport> {
  checkOptions(options, [...recipeOptions, ...runOptions], 'quantize()');
  const { output, shardBytes = 2 ** 32, onProgress, signal, ...recipe } = options;
  signal?.throwIfAborted();
  using checkpoint = await openSource(source);
  const { graph } = checkpoint.architecture.build(checkpoint.config);
  const plans = planLayers(recipe, findTargets(graph));
  const quantized = new Set([...plans.keys()].map(({ weight }) => weight));
  const dense = denseTensors(checkpoint, graph, quantized);
  const tensors = inOrder(graph.weightNames, [
    ...[...plans].map(([target, plan]) => packedTensor(target, plan)),
    ...dense,
  ]);
  const fingerprint = fingerprintOf(checkpoint, [recipe, shardBytes]);
  await using folder = await OutputFolder.open({ path: output, tensors, shardBytes, fingerprint });
  const resumed = folder.records.size;

  const sizes = new Map(tensors.map((tensor) => [tensor.name, sourceBytes(checkpoint, tensor)]));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let done = [...folder.records.keys()].reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
  const advance = async (bytes: number): Promise<void> => {
    done += bytes;
    onProgress?.({ stage: 'quantize', done, total });
    await setImmediate(); // lets an abort in
    signal?.throwIfAborted();
  };

  for (const [target, plan] of plans) {
    if (folder.records.has(target.weight)) continue;
    const bytesBefore = sizes.get(target.weight) ?? 0;
    const error = await roundToNearest(checkpoint, folder, target, plan, (part) => advance(part * bytesBefore));
    await folder.complete(target.weight, layerReport(target, plan, error, bytesBefore));
  }
  for (const tensor of dense) {
    if (folder.records.has(tensor.name)) continue;
    await copyDense(checkpoint, folder, tensor);
    await folder.complete(tensor.name, null);
    await advance(sizes.get(tensor.name) ?? 0);
  }

  const layers = [...plans.keys()].map(({ weight }) => folder.records.get(weight) as LayerReport);
  const bytesAfter = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const report: QuantizationReport = { output, layers, bytesBefore: total, bytesAfter, resumed };
  await folder.finish(modelFiles(checkpoint, recipe, report));
  return report;
}

/** Quantizes and writes one weight by its rows alone, a part at a time. */
async function roundToNearest(
  checkpoint: Checkpoint,
  folder: OutputFolder,
  { weight, rows, columns }: Target,
  { grid, clipSearch }: LayerPlan,
  advance: (part: number) => Promise<void>,
): Promise<MatrixError> {
  const weights = checkpoint.read(weight);
  const step = Math.max(BLOCK_ROWS, Math.floor(PART_WEIGHTS / columns / BLOCK_ROWS) * BLOCK_ROWS);
  let squaredError = 0;
  let squaredNorm = 0;
  let position = 0;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    const part = weights.subarray(row * columns, (row + count) * columns);
    const matrix = quantizeMatrix(part, count, columns, grid, { clipSearch, name: weight });
    const error = matrixError(part, matrix);
    squaredError += error.squaredError;
    squaredNorm += error.squaredNorm;
    const bytes = packedBytes(matrix);
    await folder.write(weight, bytes, position);
    position += bytes.length;
    await advance(count / rows);
  }
  return { squaredError, squaredNorm };
}

async function copyDense(checkpoint: Checkpoint, folder: OutputFolder, { name, verbatim }: DenseTensor): Promise<void> {
  const info = checkpoint.tensors.get(name);
  if (!verbatim || !info) {
    const values = checkpoint.read(name);
    await folder.write(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return;
  }
  for (let at = 0; at < info.byteLength; at += COPY_BYTES) {
    const bytes = info.storage.read(info.offset + at, Math.min(COPY_BYTES, info.byteLength - at));
    await folder.write(name, bytes, at);
  }
}

function packedTensor({ weight, rows, columns }: Target, { grid }: LayerPlan): OutputTensor {
  const packed = packedDescription(grid, rows, columns);
  const byteLength = packedByteLength(packed);
  return { name: weight, dtype: 'U8', shape: [byteLength], byteLength, packed };
}

function layerReport(target: Target, plan: LayerPlan, error: MatrixError, bytesBefore: number): LayerReport {
  const { weight, rows, columns } = target;
  const { method, grid, format } = plan;
  const relativeError = error.squaredNorm === 0 ? 0 : Math.sqrt(error.squaredError / error.squaredNorm);
  const bytesAfter = packedByteLength(packedDescription(grid, rows, columns));
  return { weight, method, ...grid, format, rows, columns, relativeError, bytesBefore, bytesAfter };
}

function sourceBytes(checkpoint: Checkpoint, { name, byteLength }: OutputTensor): number {
  return checkpoint.tensors.get(name)?.byteLength ?? byteLength;
}

function inOrder(names: readonly string[], tensors: readonly OutputTensor[]): OutputTensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return names.flatMap((name) => byName.get(name) ?? []);
}
