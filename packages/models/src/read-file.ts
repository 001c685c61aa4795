import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

import { CorruptFileError, ModelNotFoundError } from './errors.ts';

/** Largest configuration or tokenizer file that is read: the biggest tokenizer.json known is 40 MB. */
const MAX_JSON_BYTES = 256 * 2 ** 20;

/** Reads ranges of a regular file without mapping it: headers, before anything in them is believed. */
export class FileReader implements Disposable {
  readonly path: string;
  readonly size: number;
  readonly #descriptor: number;

  constructor(path: string) {
    this.path = path;
    try {
      this.#descriptor = openSync(path, 'r');
    } catch (cause) {
      throw new ModelNotFoundError(path, 'it cannot be opened', { cause });
    }
    const status = fstatSync(this.#descriptor);
    if (!status.isFile()) {
      closeSync(this.#descriptor);
      throw new ModelNotFoundError(path, 'it is not a file');
    }
    this.size = status.size;
  }

  /** Throws `CorruptFileError` where the file ends before. */
  read(offset: number, length: number): Uint8Array {
    if (offset + length > this.size) {
      throw new CorruptFileError(
        this.path,
        this.size,
        `it ends where ${offset + length - this.size} more bytes must follow`,
      );
    }
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const count = readSync(this.#descriptor, bytes, done, length - done, offset + done);
      if (count === 0) throw new CorruptFileError(this.path, offset + done, 'it became shorter while it was read');
      done += count;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}

/** A JSON file that must hold an object. Throws `CorruptFileError` where it does not. */
export function readJsonObject(path: string): Record<string, unknown> {
  using file = new FileReader(path);
  if (file.size > MAX_JSON_BYTES) {
    throw new CorruptFileError(path, 0, `${file.size} bytes are too many for such a file (limit ${MAX_JSON_BYTES})`);
  }
  const value = parseJson(path, 0, file.read(0, file.size));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CorruptFileError(path, 0, 'it must hold a JSON object');
  }
  return value as Record<string, unknown>;
}

/** UTF-8 JSON at some place of a file. */
export function parseJson(path: string, offset: number, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CorruptFileError(path, offset, `this is not JSON (${(cause as Error).message})`, { cause });
  }
}
