import { checkOptions } from '@llm/tensor';
import { readdirSync, statSync, type Stats } from 'node:fs';
import { join } from 'node:path';

import type { Checkpoint } from './checkpoint.ts';
import { ModelNotFoundError } from './errors.ts';
import { openFolder } from './formats/folder/open.ts';
import { openGguf } from './formats/gguf/open.ts';
import type { LoadedCheckpoint } from './loaded-checkpoint.ts';
import type { WeightCacheOptions } from './weight-cache.ts';
import { cachedSnapshot, pull, type PullOptions } from './hub/pull.ts';

export interface OpenOptions {
  /** Fetch a model of the hub that the cache does not hold. Default true; never done with `HF_HUB_OFFLINE`. */
  readonly download?: boolean;
  /**
   * Keep weights that cannot be used as they lie (GGUF, GPTQ, AWQ, ...) in a file, so that the next opening maps them. The first
   * opening makes it and takes as long as that. Default false.
   */
  readonly cache?: boolean | WeightCacheOptions;
  /** Stops a download, or the making of that file. */
  readonly signal?: AbortSignal;
  /** Counts the bytes of a download, and those written to the cache. */
  readonly onProgress?: PullOptions['onProgress'];
}

/**
 * Opens a model: a folder as Hugging Face lays it out, a `.gguf` file, or `hf:owner/name[@revision]`. Reads headers and
 * configurations only; weights are mapped and read when they are used.
 * @throws {@link ModelNotFoundError}, {@link CorruptFileError}, {@link InvalidConfigError},
 * {@link UnsupportedArchitectureError}, {@link UnsupportedFormatError}
 */
export async function openCheckpoint(source: string, options: OpenOptions = {}): Promise<Checkpoint> {
  checkOptions(options, ['download', 'cache', 'signal', 'onProgress'], 'openCheckpoint()');
  return loadCheckpoint(source, options);
}

/** `openCheckpoint` with what only this package needs to know. */
export async function loadCheckpoint(source: string, options: OpenOptions): Promise<LoadedCheckpoint> {
  options.signal?.throwIfAborted();
  const checkpoint = openLocal(source.startsWith('hf:') ? await resolveHub(source, options) : source);
  const { cache = false, signal, onProgress } = options;
  if (cache === false) return checkpoint;
  try {
    await checkpoint.useCache(cache === true ? {} : cache, {
      ...(signal && { signal }),
      ...(onProgress && { onProgress }),
    });
    return checkpoint;
  } catch (error) {
    checkpoint[Symbol.dispose]();
    throw error;
  }
}

/** The folder of a model of the hub: from the cache if it is there. */
async function resolveHub(source: string, options: OpenOptions): Promise<string> {
  const { download = true, signal, onProgress } = options;
  try {
    return await cachedSnapshot(source);
  } catch (error) {
    if (!download || !(error instanceof ModelNotFoundError)) throw error;
  }
  return pull(source, { ...(signal && { signal }), ...(onProgress && { onProgress }) });
}

function openLocal(path: string): LoadedCheckpoint {
  const status = statusOf(path);
  if (!status.isDirectory()) return openGguf(path);
  const names = readdirSync(path);
  if (names.includes('config.json')) return openFolder(path);
  const files = names.filter((name) => name.endsWith('.gguf'));
  if (files.length === 1) return openGguf(join(path, files[0] as string));
  const found = files.length === 0 ? 'no config.json and no .gguf file' : `several .gguf files: ${files.join(', ')}`;
  throw new ModelNotFoundError(path, `the folder has ${found}`);
}

function statusOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    throw new ModelNotFoundError(path, 'there is no such folder or file', { cause });
  }
}
