import { cacheFolder, checkOptions, packedByteLength, type MatrixDescription } from '@llm/tensor';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, realpathSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';

import type { CheckpointFormat, PrepareOptions, TensorInfo, WeightConversion } from './checkpoint.ts';
import { writeAtomically } from './formats/atomic-file.ts';
import { PACKED_METADATA, PackedWeights } from './formats/packed/weights.ts';
import { readSafetensorsHeader } from './formats/safetensors/header.ts';
import { DenseWeights } from './formats/safetensors/weights.ts';
import { writeSafetensors, type SafetensorsEntry } from './formats/safetensors/write.ts';
import type { ElementType } from './number-formats.ts';
import { readJsonObject } from './read-file.ts';
import { StoredFile, storedTensor } from './stored-file.ts';
import type { LoadedMatrix, WeightSource } from './weight-source.ts';

/** Where weights that were laid out anew are kept. */
export interface WeightCacheOptions {
  /** Default: `weights` in {@link cacheFolder}. */
  readonly folder?: string;
  /** The models used longest ago are removed until all take no more; a model larger than this is not kept. Default 64 GiB. */
  readonly maxBytes?: number;
}

export const weightCacheDefaults: { readonly maxBytes: number } = { maxBytes: 64 * 2 ** 30 };

/** Counts changes of what is kept and how: files of another version are not looked at. */
const VERSION = 1;

const WEIGHTS = '.safetensors';
/** What became of the weights; written last, so weights without it are not complete. */
const NOTE = '.json';

/**
 * The weights of a checkpoint, with those that have to be laid out anew mapped from a file, which is made now if it is not there,
 * one matrix after the other. Several processes may do so at once: each writes a file of its own, and the last one stays.
 * Just the weights where nothing has to be laid out anew, or where there is no room.
 * @param path - the folder or file of the checkpoint
 */
export async function cachedWeights(
  path: string,
  weights: WeightSource,
  cache: WeightCacheOptions,
  options: PrepareOptions,
): Promise<WeightSource> {
  checkOptions(cache, ['folder', 'maxBytes'], 'cache');
  const { maxBytes = weightCacheDefaults.maxBytes, folder = join(cacheFolder(), 'weights') } = cache;
  const tensors = [...weights.tensors.values()].filter(
    (tensor) => tensor.shape.length === 2 && weights.isLaidOutAnew(tensor),
  );
  if (tensors.length === 0) return weights;
  const base = join(folder, keyOf(path));
  const kept = openKept(base, weights);
  if (kept) return kept;
  const bytes = tensors.reduce((sum, tensor) => sum + packedByteLength(weights.describe(tensor)), 0);
  if (bytes > maxBytes) return weights;
  mkdirSync(folder, { recursive: true });
  makeRoom(folder, maxBytes - bytes);
  const conversions: Record<string, WeightConversion> = {};
  const described = tensors
    .map((tensor) => [tensor.name, weights.describe(tensor)] as const)
    .filter(([, { groupSize }]) => groupSize !== undefined);
  try {
    await writeSafetensors(
      `${base}${WEIGHTS}`,
      tensors.map((tensor) => entryOf(tensor, weights, conversions)),
      { ...options, metadata: { [PACKED_METADATA]: JSON.stringify(Object.fromEntries(described)) } },
    );
  } catch (error) {
    if (error instanceof UnannouncedFormat) return weights;
    throw error;
  }
  const note = new TextEncoder().encode(JSON.stringify({ source: path, conversions }));
  await writeAtomically(`${base}${NOTE}`, (file) => file.write(note));
  return openKept(base, weights) ?? weights;
}

/** A weight with scales beyond float16 has not the format that was planned for it: such models are not kept. */
class UnannouncedFormat extends Error {}

function entryOf(
  tensor: TensorInfo,
  weights: WeightSource,
  conversions: Record<string, WeightConversion>,
): SafetensorsEntry {
  const { name, shape } = tensor;
  const description = weights.describe(tensor);
  const { format, groupSize } = description;
  return {
    name,
    ...(groupSize === undefined
      ? { dtype: format.toUpperCase() as ElementType, shape }
      : { dtype: 'U8', shape: [packedByteLength(description)] }),
    async data() {
      const { matrix, conversion } = await weights.load(tensor);
      using made = matrix;
      if (made.format !== format) throw new UnannouncedFormat(name);
      if (conversion) conversions[name] = conversion;
      return made.bytes();
    },
  };
}

/** What is kept under a name; undefined if it is not there or not whole. */
function openKept(base: string, weights: WeightSource): WeightSource | undefined {
  const path = `${base}${WEIGHTS}`;
  try {
    const { conversions } = readJsonObject(`${base}${NOTE}`) as { conversions?: Record<string, WeightConversion> };
    const file = new StoredFile(path);
    const header = readSafetensorsHeader(path);
    const dense = new DenseWeights(
      path,
      [file],
      header.tensors.map((tensor) => storedTensor(file, tensor)),
      () => false,
    );
    const kept = new PackedWeights(path, dense, new Map([[path, header.metadata]]));
    const now = new Date();
    utimesSync(`${base}${NOTE}`, now, now);
    return new CachedWeights(weights, kept, conversions ?? {});
  } catch {
    // Another process removed it, or a disk lost some of it: it is made anew.
    return undefined;
  }
}

class CachedWeights implements WeightSource {
  readonly #weights: WeightSource;
  readonly #kept: WeightSource;
  readonly #conversions: Readonly<Record<string, WeightConversion>>;

  constructor(weights: WeightSource, kept: WeightSource, conversions: Readonly<Record<string, WeightConversion>>) {
    this.#weights = weights;
    this.#kept = kept;
    this.#conversions = conversions;
  }

  get format(): CheckpointFormat {
    return this.#weights.format;
  }

  get tensors(): ReadonlyMap<string, TensorInfo> {
    return this.#weights.tensors;
  }

  describe(tensor: TensorInfo): MatrixDescription {
    const kept = this.#kept.tensors.get(tensor.name);
    return kept ? this.#kept.describe(kept) : this.#weights.describe(tensor);
  }

  isLaidOutAnew(tensor: TensorInfo): boolean {
    return !this.#kept.tensors.has(tensor.name) && this.#weights.isLaidOutAnew(tensor);
  }

  matrix(tensor: TensorInfo): LoadedMatrix {
    const kept = this.#kept.tensors.get(tensor.name);
    if (!kept) return this.#weights.matrix(tensor);
    const conversion = this.#conversions[tensor.name];
    return { matrix: this.#kept.matrix(kept).matrix, ...(conversion && { conversion }) };
  }

  load(tensor: TensorInfo): Promise<LoadedMatrix> {
    return this.#kept.tensors.has(tensor.name) ? Promise.resolve(this.matrix(tensor)) : this.#weights.load(tensor);
  }

  values(tensor: TensorInfo): Iterable<Float32Array> {
    return this.#weights.values(tensor);
  }

  [Symbol.dispose](): void {
    this.#kept[Symbol.dispose]();
    this.#weights[Symbol.dispose]();
  }
}

/** The files of a checkpoint by place, size and time of change: what cannot have changed without one of them. */
function keyOf(path: string): string {
  const whole = realpathSync(path);
  const files = statSync(whole).isDirectory()
    ? readdirSync(whole)
        .filter((name) => /\.(?:json|safetensors|bin|gguf)$/u.test(name))
        .sort()
        .map((name) => join(whole, name))
    : [whole];
  const states = files.map((file) => {
    const { size, mtimeMs, ino } = statSync(file);
    return [file, size, mtimeMs, ino];
  });
  return createHash('sha256')
    .update(JSON.stringify([VERSION, states]))
    .digest('hex')
    .slice(0, 32);
}

/** Removes what was used longest ago until the rest has no more than so many bytes. */
function makeRoom(folder: string, bytes: number): void {
  const kept = readdirSync(folder)
    .filter((name) => name.endsWith(NOTE))
    .map((name) => {
      const base = join(folder, name.slice(0, -NOTE.length));
      // Another process may remove them meanwhile.
      const [weights, note] = [WEIGHTS, NOTE].map((end) => statSync(`${base}${end}`, { throwIfNoEntry: false }));
      return { base, bytes: weights?.size ?? 0, used: note?.mtimeMs ?? 0 };
    })
    .sort((a, b) => b.used - a.used);
  let left = bytes;
  for (const model of kept) {
    left -= model.bytes;
    if (left >= 0) continue;
    // Whoever has it mapped keeps it.
    for (const ending of [NOTE, WEIGHTS]) rmSync(`${model.base}${ending}`, { force: true });
  }
}
