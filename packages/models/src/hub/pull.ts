import { checkOptions } from '@llm/tensor';
import { dirname } from 'node:path';

import { ModelNotFoundError } from '../errors.ts';
import { makeFolder, RepositoryCache } from './cache.ts';
import { HubClient, type RemoteFile } from './client.ts';
import { download } from './download.ts';
import { parseRepository } from './repository.ts';
import { hubSettings } from './settings.ts';
import { chooseFiles } from './choose-files.ts';

/** Files that are fetched at the same time. */
const PARALLEL = 4;

export interface PullOptions {
  /** A branch, a tag or a commit; default: what the name says, or `main`. */
  readonly revision?: string;
  /** Files to fetch, with `*` for any characters. Default: configuration, tokenizer and weights. */
  readonly include?: readonly string[];
  readonly signal?: AbortSignal;
  /** Counts bytes. */
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/**
 * Fetches a model from the hub into its cache and returns the folder of the snapshot. Files that are there already are not
 * fetched again, and a transfer that broke off goes on where it stopped. Every file is checked against its hash.
 * @param source - `owner/name[@revision]`, with or without `hf:`
 * @throws {@link DownloadError}, {@link ChecksumMismatchError}, {@link WriteError}, {@link ModelNotFoundError}, or the
 * signal's reason
 */
export async function pull(source: string, options: PullOptions = {}): Promise<string> {
  checkOptions(options, ['revision', 'include', 'signal', 'onProgress'], 'pull()');
  const settings = hubSettings();
  const repository = parseRepository(source, options.revision);
  const cache = new RepositoryCache(settings.cache, repository.name);
  if (settings.offline) return cachedSnapshot(source, options.revision);
  const client = new HubClient(settings, options.signal);
  const { commit, files } = await client.state(repository);
  const chosen = chooseFiles(repository.name, files, options.include);
  await makeFolder(dirname(cache.blob('any')));
  const remote = await parallel(chosen, (file) => client.file(repository, commit, file));
  const total = remote.reduce((sum, { size = 0 }) => sum + size, 0);
  let done = 0;
  const advance = (count: number): void => {
    done += count;
    options.onProgress?.({ stage: 'download', done, total });
  };
  await parallel(remote, async (file: RemoteFile) => {
    if (!(await cache.hasBlob(file.etag))) {
      await download(client, file, cache.blob(file.etag), { onBytes: advance, signal: options.signal });
    } else advance(file.size ?? 0);
    await cache.link(commit, file.name, file.etag);
  });
  await cache.rememberCommit(repository, commit);
  return cache.snapshot(commit);
}

/**
 * The folder of a model that was pulled before, without asking the hub.
 * @throws {@link ModelNotFoundError} if the cache does not hold it
 */
export async function cachedSnapshot(source: string, revision?: string): Promise<string> {
  const repository = parseRepository(source, revision);
  const cache = new RepositoryCache(hubSettings().cache, repository.name);
  const commit = await cache.commit(repository);
  if (commit !== undefined && cache.holdsModel(commit)) return cache.snapshot(commit);
  throw new ModelNotFoundError(source, 'the cache of the hub does not hold it');
}

/** Runs at most `PARALLEL` at a time; the first failure stops the rest from starting. */
async function parallel<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (!failed && next < items.length) {
      const index = next++;
      try {
        results[index] = await run(items[index] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  // All must have ended before the caller goes on, also where one failed.
  const ends = await Promise.allSettled(Array.from({ length: Math.min(PARALLEL, items.length) }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return results;
}
