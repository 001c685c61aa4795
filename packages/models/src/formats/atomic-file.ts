import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';

import { WriteError } from '../errors.ts';

/** Appends to a file that nobody sees yet. */
export interface AtomicFile {
  /** Throws `WriteError`. */
  write(bytes: Uint8Array): Promise<void>;
}

/** Bytes are collected up to this size before they go to the system. */
const BUFFER_BYTES = 1 << 20;

/** Told apart by a number, since two writers of one process may have the same file in mind. */
let files = 0;

/**
 * Writes a file so that it appears under its name only when it is complete and on disk. Whatever goes wrong, no part of it is
 * left. Failures of the system become `WriteError`; what `produce` throws itself passes through.
 */
export async function writeAtomically(path: string, produce: (file: AtomicFile) => Promise<void>): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.${process.pid}-${threadId}-${files++}.partial`);
  const handle = await guard(path, () => open(partial, 'w'));
  try {
    try {
      const file = new BufferedFile(path, handle);
      await produce(file);
      await file.flush();
      await guard(path, () => handle.sync());
    } finally {
      await handle.close();
    }
    await guard(path, () => rename(partial, path));
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

class BufferedFile implements AtomicFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #used = 0;

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#used + bytes.byteLength > BUFFER_BYTES) await this.flush();
    if (bytes.byteLength >= BUFFER_BYTES) {
      await this.#writeAll(bytes);
    } else {
      this.#buffer.set(bytes, this.#used);
      this.#used += bytes.byteLength;
    }
  }

  async flush(): Promise<void> {
    const used = this.#used;
    this.#used = 0;
    await this.#writeAll(this.#buffer.subarray(0, used));
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.byteLength) {
      const { bytesWritten } = await guard(this.#path, () => this.#handle.write(bytes, done));
      done += bytesWritten;
    }
  }
}

async function guard<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new WriteError(path, cause);
  }
}

/** Makes the new name itself durable. Some systems cannot open folders: then there is nothing to do. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    return;
  }
}
