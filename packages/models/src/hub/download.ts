import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';

import { ChecksumMismatchError, DownloadError, WriteError } from '../errors.ts';
import { pause, type HubClient, type RemoteFile } from './client.ts';

/** How often a transfer that breaks off is taken up again without any progress, and the pause before. */
const STALLED_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 300;

/**
 * Fetches a file to `path`, which exists only when it is complete and has the right hash. What came before a failure stays
 * beside it as `.incomplete` and is not fetched again.
 * @throws {@link DownloadError}, {@link ChecksumMismatchError}, {@link WriteError}, or the signal's reason
 */
export async function download(
  client: HubClient,
  file: RemoteFile,
  path: string,
  options: { readonly onBytes: (count: number) => void; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const partial = `${path}.incomplete`;
  let reported = 0;
  let stalled = 0;
  for (;;) {
    const before = await sizeOf(partial);
    if (file.size === undefined || before < file.size) {
      const failure = await transfer(client, file, partial, before, options.signal, (position) => {
        options.onBytes(position - reported);
        reported = position;
      });
      if (failure) {
        options.signal?.throwIfAborted();
        stalled = (await sizeOf(partial)) > before ? 0 : stalled + 1;
        if (stalled === STALLED_ATTEMPTS) throw failure;
        await pause(FIRST_PAUSE_MS * 2 ** stalled, options.signal);
        continue;
      }
    } else {
      options.onBytes(before - reported);
      reported = before;
    }
    break;
  }
  await verify(file, partial);
  await guard(path, () => rename(partial, path));
}

/** Appends the rest of the file. Returns what cut it off; throws what a repetition would not mend. */
async function transfer(
  client: HubClient,
  file: RemoteFile,
  partial: string,
  start: number,
  signal: AbortSignal | undefined,
  onPosition: (position: number) => void,
): Promise<DownloadError | undefined> {
  const response = await client.request(file.url, start > 0 ? { headers: { range: `bytes=${start}-` } } : {});
  // A server that knows no ranges sends it all again.
  let position = response.status === 206 ? start : 0;
  if (response.status === 206 && !response.headers.get('content-range')?.startsWith(`bytes ${start}-`)) {
    throw new DownloadError(file.url, 206, `the server sends another part than the one from byte ${start} on.`);
  }
  const handle = await guard(partial, () => open(partial, position > 0 ? 'r+' : 'w'));
  try {
    onPosition(position);
    const body = response.body as AsyncIterable<Uint8Array> | null;
    try {
      for await (const bytes of body ?? []) {
        await writeAll(partial, handle, bytes, position);
        position += bytes.byteLength;
        onPosition(position);
      }
    } catch (cause) {
      if (cause instanceof WriteError) throw cause;
      signal?.throwIfAborted();
      return new DownloadError(file.url, 0, `the transfer broke off after ${position} bytes.`, { cause });
    }
    await guard(partial, () => handle.sync());
  } finally {
    await handle.close();
  }
  if (file.size === undefined || position === file.size) return undefined;
  return new DownloadError(file.url, 0, `${position} bytes came where ${file.size} were promised.`);
}

async function verify(file: RemoteFile, partial: string): Promise<void> {
  const size = await sizeOf(partial);
  const hash = hashFor(file.etag, size);
  if (hash) {
    for await (const chunk of createReadStream(partial) as AsyncIterable<Buffer>) hash.update(chunk);
  }
  const actual = hash?.digest('hex') ?? (file.size === undefined || size === file.size ? file.etag : `${size} bytes`);
  if (actual === file.etag) return;
  await rm(partial, { force: true });
  throw new ChecksumMismatchError(file.name, file.etag, actual);
}

/** SHA-256, or the hash of a git blob; undefined for an etag that is neither. */
function hashFor(etag: string, size: number): Hash | undefined {
  if (/^[0-9a-f]{64}$/u.test(etag)) return createHash('sha256');
  if (/^[0-9a-f]{40}$/u.test(etag)) return createHash('sha1').update(`blob ${size}\0`);
  return undefined;
}

async function writeAll(path: string, handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const rest = bytes.byteLength - done;
    const { bytesWritten } = await guard(path, () => handle.write(bytes, done, rest, position + done));
    done += bytesWritten;
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function guard<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new WriteError(path, cause);
  }
}
