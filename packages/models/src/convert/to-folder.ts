import { InvalidArgumentError } from '@llm/tensor';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { TensorInfo } from '../checkpoint.ts';
import { INPUT_SCALE } from '../architectures/builder.ts';
import { InvalidWeightError, WriteError } from '../errors.ts';
import { matrixEntry, UnannouncedFormat } from '../formats/packed/matrix-entry.ts';
import { PACKED_METADATA } from '../formats/packed/weights.ts';
import { awqLayout, compressedLayout, gptqLayout, type Layout, type LinearShape } from '../formats/quantized/encode.ts';
import { dequantizeRows, type QuantizedCodes } from '../formats/quantized/linear.ts';
import { writeSafetensors, type SafetensorsEntry } from '../formats/safetensors/write.ts';
import { linearsByDivisors, refuseInputScales, scaledLinear } from '../input-scales.ts';
import type { LoadedCheckpoint } from '../loaded-checkpoint.ts';
import { decodeElements, encodeFloats } from '../number-formats.ts';
import { PIECE_BYTES } from '../row-pieces.ts';
import type { ConversionOptions } from './convert.ts';
import { gridOfMatrix } from './grid-of-matrix.ts';
import { largestError, type ConvertedWeight } from './report.ts';

export type FolderTarget = 'safetensors' | 'packed' | 'gptq' | 'awq' | 'compressed-tensors';

type DenseType = 'F32' | 'F16' | 'BF16';

/** What a target makes of the weights. */
interface Plan {
  readonly entries: SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly quantization: Readonly<Record<string, unknown>> | undefined;
}

/** Writes a checkpoint as a folder in Hugging Face's layout; it appears under its name when it is complete. */
export async function convertToFolder(
  checkpoint: LoadedCheckpoint,
  output: string,
  target: FolderTarget,
  options: ConversionOptions,
): Promise<ConvertedWeight[]> {
  const wide = new Set<string>();
  for (;;) {
    try {
      return await writeFolder(checkpoint, output, target, options, wide);
    } catch (error) {
      // No header says so: it is found out when the scales are read, and then all is written anew.
      if (!(error instanceof UnannouncedFormat) || wide.has(error.tensor)) throw error;
      wide.add(error.tensor);
    }
  }
}

/** `wide`: names of weights whose scales are beyond float16. */
async function writeFolder(
  checkpoint: LoadedCheckpoint,
  output: string,
  target: FolderTarget,
  options: ConversionOptions,
  wide: ReadonlySet<string>,
): Promise<ConvertedWeight[]> {
  const weights: ConvertedWeight[] = [];
  const plan =
    target === 'packed'
      ? planPacked(checkpoint, weights, wide)
      : planOthers(checkpoint, target, options, weights, wide);
  const partial = `${output}.partial`;
  const guard = async (path: string, action: () => Promise<unknown>): Promise<void> => {
    await action().catch((cause: unknown) => {
      throw new WriteError(path, cause);
    });
  };
  await rm(partial, { recursive: true, force: true });
  await guard(partial, () => mkdir(partial, { recursive: true }));
  try {
    const { signal, onProgress } = options;
    await writeSafetensors(join(partial, 'model.safetensors'), plan.entries, {
      ...(signal && { signal }),
      ...(onProgress && { onProgress }),
      metadata: plan.metadata,
    });
    for (const [name, bytes] of checkpoint.companionFiles()) {
      const path = join(partial, name);
      await guard(path, () => writeFile(path, bytes));
    }
    const config = { ...checkpoint.config, quantization_config: plan.quantization };
    const path = join(partial, 'config.json');
    await guard(path, () => writeFile(path, JSON.stringify(config, null, 2)));
    await guard(output, () => rename(partial, output));
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  return weights;
}

/** Matrices in the layout that they are used in, everything else as it was stored. */
function planPacked(checkpoint: LoadedCheckpoint, weights: ConvertedWeight[], wide: ReadonlySet<string>): Plan {
  const described: Record<string, unknown> = {};
  const entries = [...checkpoint.tensors.values()].map((info): SafetensorsEntry => {
    const { name, dtype, shape } = info;
    // GGUF may have the rows of dense matrices in another order, too.
    const asStored = isPlain(info) && checkpoint.format !== 'gguf';
    if (asStored || shape.length !== 2) return denseEntry(checkpoint, info, denseType(info), weights);
    const announced = checkpoint.describe(name);
    const { rows, columns } = announced;
    const description = wide.has(name) ? ({ format: 'bf16', rows, columns } as const) : announced;
    if (description.groupSize !== undefined) described[name] = description;
    return matrixEntry(
      name,
      description,
      () => checkpoint.load(name),
      (conversion) => {
        weights.push({ name, from: dtype, to: description.format, largestError: conversion?.largestError ?? 0 });
      },
    );
  });
  const computes = Object.keys(described).flatMap((name) => {
    const compute = checkpoint.compute(name);
    return compute ? [[name, compute] as const] : [];
  });
  const input_scales = [...checkpoint.tensors.keys()].flatMap((name) => scaledLinear(name) ?? []);
  const quantization = {
    ...{ quant_method: 'llm-packed', version: 1 },
    ...(computes.length > 0 && { compute: Object.fromEntries(computes) }),
    ...(input_scales.length > 0 && { input_scales }),
  };
  return { entries, metadata: { [PACKED_METADATA]: JSON.stringify(described), format: 'pt' }, quantization };
}

const layouts: Readonly<Record<Exclude<FolderTarget, 'packed' | 'safetensors'>, Layout>> = {
  gptq: gptqLayout,
  awq: awqLayout,
  'compressed-tensors': compressedLayout,
};

function planOthers(
  checkpoint: LoadedCheckpoint,
  target: Exclude<FolderTarget, 'packed'>,
  options: ConversionOptions,
  weights: ConvertedWeight[],
  wide: ReadonlySet<string>,
): Plan {
  if (target !== 'safetensors' && target !== 'awq') refuseInputScales(checkpoint, target);
  const layout = target === 'safetensors' ? undefined : layouts[target];
  const linears = layout ? quantizedLinears(checkpoint, layout, wide) : [];
  const [first] = linears;
  if (layout && !first) {
    throw new InvalidArgumentError(`${checkpoint.path} has no 4-bit weights to write as ${target}. Quantize it first.`);
  }
  const symmetric = linears.every(({ shape }) => shape.symmetric);
  const written = new Set(linears.map(({ info }) => info.name));
  const load = loader(checkpoint, target, weights);
  const entries = linears.flatMap(({ info, shape }) =>
    (layout?.parts({ ...shape, symmetric }) ?? []).map((part): SafetensorsEntry => {
      const name = info.name.replace(/weight$/u, part.part);
      return { name, dtype: part.dtype, shape: part.shape, data: async () => part.bytes(await load(info)) };
    }),
  );
  const divisors = new Map<string, string>();
  if (target === 'awq')
    for (const [name, linear] of linearsByDivisors(checkpoint.architecture, checkpoint.config))
      divisors.set(linear, name);
  for (const info of checkpoint.tensors.values()) {
    if (written.has(info.name)) continue;
    if (scaledLinear(info.name) !== undefined) {
      if (target === 'awq') entries.push(divisorEntry(checkpoint, info, divisors, weights));
      continue; // in safetensors it is part of the weights
    }
    const wanted =
      options.type === 'F32' || options.type === 'F16' || options.type === 'BF16' ? options.type : undefined;
    entries.push(denseEntry(checkpoint, info, wanted ?? denseType(info), weights, target === 'safetensors'));
  }
  const quantization = first && quantizationConfig(target, first.shape, symmetric);
  return { entries, metadata: { format: 'pt' }, quantization };
}

interface Linear {
  readonly info: TensorInfo;
  readonly shape: LinearShape;
}

/** The 4-bit weights of linears that a layout can hold; all must have the groups of the first, as one number says them. */
function quantizedLinears(checkpoint: LoadedCheckpoint, layout: Layout, wide: ReadonlySet<string>): Linear[] {
  const found: Linear[] = [];
  for (const info of checkpoint.tensors.values()) {
    if (isPlain(info) || info.shape.length !== 2 || isVocabulary(info.name) || wide.has(info.name)) continue;
    const { format, rows, columns, groupSize } = checkpoint.describe(info.name);
    if (!format.startsWith('int4') || groupSize === undefined) continue;
    const shape = { bits: 4, rows, columns, groupSize, symmetric: format === 'int4-sym' || format === 'int4-two' };
    if (layout.obstacle(shape) !== undefined) continue;
    if (found[0] && found[0].shape.groupSize !== groupSize) continue;
    found.push({ info, shape });
  }
  return found;
}

/** The codes of a linear, kept while its parts are written one after the other; the first time, it enters the report. */
function loader(
  checkpoint: LoadedCheckpoint,
  to: string,
  weights: ConvertedWeight[],
): (info: TensorInfo) => Promise<QuantizedCodes> {
  const reported = new Set<string>();
  let last: { readonly name: string; readonly grid: QuantizedCodes } | undefined;
  return async ({ name, dtype }) => {
    if (last?.name === name) return last.grid;
    using matrix = (await checkpoint.load(name)).matrix;
    const grid = gridOfMatrix(matrix);
    if (!grid) throw new UnannouncedFormat(name);
    last = { name, grid };
    if (!reported.has(name)) {
      reported.add(name);
      const after = dequantizeRows(grid, 0, grid.rows);
      weights.push({ name, from: dtype, to, largestError: largestError(checkpoint.read(name), after) });
    }
    return grid;
  };
}

/** Loaders of these formats want the embeddings and the head dense. */
function isVocabulary(name: string): boolean {
  return /(?:lm_head|embed_out|embed_tokens|embed_in|wte|word_embeddings)/u.test(name);
}

function quantizationConfig(
  target: FolderTarget,
  { bits, groupSize, columns }: LinearShape,
  symmetric: boolean,
): Record<string, unknown> {
  const group_size = groupSize >= columns ? -1 : groupSize;
  if (target === 'gptq') {
    return {
      ...{ quant_method: 'gptq', bits, group_size, sym: symmetric, desc_act: false, lm_head: false },
      ...{ checkpoint_format: 'gptq_v2', pack_dtype: 'int32', damp_percent: 0.01, true_sequential: true },
    };
  }
  if (target === 'awq') {
    return { quant_method: 'awq', bits, group_size, zero_point: true, version: 'gemm', modules_to_not_convert: null };
  }
  const strategy = group_size === -1 ? { strategy: 'channel' } : { strategy: 'group', group_size };
  const weights = { num_bits: bits, type: 'int', symmetric, dynamic: false, ...strategy };
  return {
    ...{ quant_method: 'compressed-tensors', format: 'pack-quantized', quantization_status: 'compressed' },
    config_groups: { group_0: { targets: ['Linear'], weights, input_activations: null, output_activations: null } },
    ignore: ['lm_head', 'embed_out'],
  };
}

function isPlain({ dtype }: TensorInfo): boolean {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

/** The type in which a weight that is not packed is kept. */
function denseType({ dtype }: TensorInfo): DenseType {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' ? dtype : 'F16';
}

function denseEntry(
  checkpoint: LoadedCheckpoint,
  info: TensorInfo,
  type: DenseType,
  weights: ConvertedWeight[],
  folds = false,
): SafetensorsEntry {
  const { name, dtype, shape } = info;
  const turned = shape.length === 2 && checkpoint.architecture.isTransposed(name);
  const entry = { name, dtype: type, shape: turned ? shape.toReversed() : shape };
  const factors = folds ? inputScaleOf(checkpoint, name) : undefined;
  if (dtype === type && !factors && checkpoint.format !== 'gguf') {
    return {
      ...entry,
      data() {
        weights.push({ name, from: dtype, to: type, largestError: 0 });
        return storedBytes(info);
      },
    };
  }
  return {
    ...entry,
    data: () => {
      const stored = checkpoint.read(name);
      const values = factors ? stored.map((value, i) => value * (factors[i % factors.length] as number)) : stored;
      const bytes = encodeFloats(type, turned ? transpose(values, shape[0] as number) : values);
      const after = turned ? transpose(decodeElements(type, bytes), shape[1] as number) : decodeElements(type, bytes);
      weights.push({
        name,
        from: dtype,
        to: type,
        largestError: dtype === type && !factors ? 0 : largestError(values, after),
      });
      return bytes;
    },
  };
}

/** What the input of a linear is multiplied by, which its weight's columns can be instead. */
function inputScaleOf(checkpoint: LoadedCheckpoint, weight: string): Float32Array | undefined {
  const scale = weight.replace(/\.weight$/u, INPUT_SCALE);
  return scale !== weight && checkpoint.has(scale) ? checkpoint.vector(scale) : undefined;
}

/**
 * AWQ checkpoints divide what an activation gives.
 * @param divisors - the names of such tensors, by linear
 */
function divisorEntry(
  checkpoint: LoadedCheckpoint,
  info: TensorInfo,
  divisors: ReadonlyMap<string, string>,
  weights: ConvertedWeight[],
): SafetensorsEntry {
  const name = divisors.get(scaledLinear(info.name) ?? '');
  if (name === undefined) throw new InvalidWeightError(checkpoint.path, info.name, 'stands behind no activation');
  return {
    ...{ name, dtype: 'F32', shape: info.shape },
    data: () => {
      const factors = checkpoint.vector(info.name);
      const divisors = factors.map((factor) => 1 / factor);
      const after = divisors.map((divisor) => 1 / divisor);
      weights.push({ name, from: info.dtype, to: 'F32', largestError: largestError(factors, after) });
      return encodeFloats('F32', divisors);
    },
  };
}

/** A tensor as it lies, in pieces. */
function* storedBytes({ storage, offset, byteLength }: TensorInfo): Iterable<Uint8Array> {
  for (let done = 0; done < byteLength; done += PIECE_BYTES)
    yield storage.read(offset + done, Math.min(PIECE_BYTES, byteLength - done));
}

function transpose(values: Float32Array, rows: number): Float32Array {
  const columns = values.length / rows;
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
}
