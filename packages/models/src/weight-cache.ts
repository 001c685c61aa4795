import { cacheFolder, checkOptions, packedByteLength, type MatrixDescription } from '@llm/tensor';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, realpathSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';

import type { CheckpointFormat, PrepareOptions, TensorInfo, WeightConversion } from './checkpoint.ts';
import { writeAtomically } from './formats/atomic-file.ts';
import { matrixEntry, UnannouncedFormat } from './formats/packed/matrix-entry.ts';
import { PACKED_METADATA, PackedWeights } from './formats/packed/weights.ts';
import { readSafetensorsHeader } from './formats/safetensors/header.ts';
import { DenseWeights } from './formats/safetensors/weights.ts';
import { writeSafetensors } from './formats/safetensors/write.ts';
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
      tensors.map((tensor) =>
        matrixEntry(
          tensor.name,
          weights.describe(tensor),
          () => weights.load(tensor),
          (conversion) => {
            if (conversion) conversions[tensor.name] = conversion;
          },
        ),
      ),
      { ...options, metadata: { [PACKED_METADATA]: JSON.stringify(Object.fromEntries(described)) } },
    );
  } catch (error) {
    // Such models are not kept.
    if (error instanceof UnannouncedFormat) return weights;
    throw error;
  }
  const note = new TextEncoder().encode(JSON.stringify({ source: path, conversions }));
  await writeAtomically(`${base}${NOTE}`, (file) => file.write(note));
  return openKept(base, weights) ?? weights;
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

/** The files of a model by their names, which are those of `keyOf`: a folder may hold other files, which are left alone. */
const ownFile = /^([0-9a-f]{32})\.(?:safetensors|json)$/u;
const unfinishedFile = /^\.[0-9a-f]{32}\.(?:safetensors|json)\..*\.partial$/u;

/** Nothing takes so long to be written: what is older and not complete was left by a process that ended. */
const LEFTOVER_MS = 24 * 60 * 60 * 1000;

/** Removes leftovers, and what was used longest ago until the rest has no more than so many bytes. */
function makeRoom(folder: string, bytes: number): void {
  const names = readdirSync(folder);
  // Another process may remove any of them meanwhile.
  const stateOf = (name: string): { readonly size: number; readonly mtimeMs: number } | undefined =>
    statSync(join(folder, name), { throwIfNoEntry: false });
  const remove = (...files: string[]): void => {
    for (const name of files) rmSync(join(folder, name), { force: true });
  };
  const isOld = (name: string): boolean => Date.now() - (stateOf(name)?.mtimeMs ?? Infinity) > LEFTOVER_MS;
  remove(...names.filter((name) => unfinishedFile.test(name) && isOld(name)));
  const models: { readonly files: [note: string, weights: string]; readonly bytes: number; readonly used: number }[] =
    [];
  for (const key of new Set(names.flatMap((name) => ownFile.exec(name)?.[1] ?? []))) {
    const files: [string, string] = [`${key}${NOTE}`, `${key}${WEIGHTS}`];
    const [note, weights] = files.map(stateOf);
    if (note && weights) models.push({ files, bytes: weights.size, used: note.mtimeMs });
    else if (files.some(isOld)) remove(...files);
  }
  models.sort((a, b) => b.used - a.used);
  let left = bytes;
  for (const model of models) {
    left -= model.bytes;
    // Whoever has it mapped keeps it.
    if (left < 0) remove(...model.files);
  }
}
