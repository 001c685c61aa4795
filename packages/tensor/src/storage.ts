import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { backend } from './backend/load.ts';
import type { StorageHandle } from './backend/storage-calls.ts';
import { rethrowTranslated, translateErrors } from './backend/translate-errors.ts';
import { DisposedError, FileAccessError, InvalidArgumentError, LlmError, OutOfMemoryError } from './errors.ts';
import { checkOptions } from './options.ts';

export interface MapOptions {
  /** Has the system start reading the whole file at once instead of at first use. Default false. */
  readonly prefetch?: boolean;
}

/**
 * A block of bytes outside the JavaScript heap: a mapped file or allocated memory. Of any size: never seen as one
 * ArrayBuffer, which Node 20 limits to 4 GiB. Matrices and programs made from it keep the bytes alive by themselves, so a
 * storage may be disposed of as soon as nothing more is read through it. Garbage collection frees what was forgotten.
 */
export class Storage implements Disposable {
  readonly #byteLength: number;
  readonly #writable: boolean;
  #handle: StorageHandle | undefined;

  private constructor(handle: StorageHandle, writable: boolean) {
    this.#handle = handle;
    this.#writable = writable;
    this.#byteLength = backend().addon.storageByteLength(handle);
  }

  /**
   * Maps a file for reading. The file must not be changed or cut short while it is mapped; replacing it is fine.
   * @throws {@link FileAccessError} if it cannot be opened or is not a plain file
   */
  static map(path: string, options: MapOptions = {}): Storage {
    checkOptions(options, ['prefetch'], 'Storage.map()');
    if (backend().kind === 'wasm') return readWhole(path);
    const { addon } = backend();
    try {
      const handle = addon.mapStorage(path);
      if (options.prefetch) addon.prefetchStorage(handle);
      return new Storage(handle, false);
    } catch (error) {
      throw fileError(path, error);
    }
  }

  /**
   * Zeros, 64-byte aligned; in huge pages from 4 MiB on, where the system has them.
   * @throws {@link OutOfMemoryError} if the system refuses
   */
  static allocate(byteLength: number): Storage {
    if (!Number.isSafeInteger(byteLength) || byteLength < 0)
      throw new InvalidArgumentError(`A storage cannot have ${String(byteLength)} bytes.`);
    const { kind, addon } = backend();
    try {
      return new Storage(
        translateErrors(() => addon.allocateStorage(byteLength)),
        true,
      );
    } catch (cause) {
      if (kind !== 'wasm' || !(cause instanceof OutOfMemoryError)) throw cause;
      throw new OutOfMemoryError(byteLength, { cause, advice: wasmMemoryAdvice });
    }
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** False for a mapped file. */
  get writable(): boolean {
    return this.#writable;
  }

  get disposed(): boolean {
    return this.#handle === undefined;
  }

  /**
   * What native calls take.
   * @throws {@link DisposedError}
   */
  get handle(): StorageHandle {
    if (this.#handle === undefined) throw new DisposedError('storage');
    return this.#handle;
  }

  /**
   * A copy of `length` bytes; by default all from `offset` on.
   * @throws {@link InvalidArgumentError} if they are not all inside
   */
  read(offset = 0, length: number = this.#byteLength - offset): Uint8Array<ArrayBuffer> {
    this.#check(offset, length);
    const target = new Uint8Array(length);
    translateErrors(() => {
      backend().addon.readStorage(this.handle, offset, target);
    });
    return target;
  }

  /**
   * Copies bytes into the storage.
   * @throws {@link InvalidArgumentError} if they do not fit or the storage is a mapped file
   */
  write(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.byteLength);
    if (!this.#writable) throw new InvalidArgumentError('A mapped file cannot be written to.');
    translateErrors(() => {
      backend().addon.writeStorage(this.handle, offset, bytes);
    });
  }

  /** Brings bytes into memory with all threads, off the event loop; by default all. */
  populate(offset = 0, length: number = this.#byteLength - offset): Promise<void> {
    this.#check(offset, length);
    return translateErrors(() => backend().addon.populateStorage(this.handle, offset, length)).catch(rethrowTranslated);
  }

  [Symbol.dispose](): void {
    if (this.#handle === undefined) return;
    backend().addon.disposeStorage(this.#handle);
    this.#handle = undefined;
  }

  #check(offset: number, length: number): void {
    if (this.#handle === undefined) throw new DisposedError('storage');
    const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (!inside || offset + length > this.#byteLength)
      throw new InvalidArgumentError(
        `${String(length)} bytes at ${String(offset)} are not inside a storage of ${String(this.#byteLength)} bytes.`,
      );
  }
}

const wasmMemoryAdvice =
  'WebAssembly has 4 GiB at most, 2 GiB in one piece, and less where the engine says so. Use a smaller model, one that ' +
  'is quantized already or in several files, or native kernels in Node.';

/** WebAssembly's memory cannot hold a mapping: the file is copied into it. */
function readWhole(path: string): Storage {
  const chunkBytes = 2 ** 24;
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const status = fstatSync(file);
    if (!status.isFile()) throw new FileAccessError(path, 'it is not a file');
    const storage = Storage.allocate(status.size);
    const chunk = new Uint8Array(Math.min(chunkBytes, status.size));
    for (let offset = 0; offset < status.size;) {
      const count = readSync(file, chunk, 0, chunk.length, offset);
      if (count === 0) throw new FileAccessError(path, 'it became shorter while it was read');
      storage.write(offset, chunk.subarray(0, count));
      offset += count;
    }
    return storage;
  } catch (error) {
    throw fileError(path, error);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function fileError(path: string, error: unknown): unknown {
  if (LlmError.isInstance(error) || !(typeof error === 'object' && error !== null && 'message' in error)) return error;
  return new FileAccessError(path, String(error.message), { cause: error });
}
