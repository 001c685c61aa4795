import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor } from '@llm/tensor';
import { OutputError } from '../errors.ts';
import { guard } from '../output/disk.ts';

interface Entry {
  readonly shapes: readonly (readonly number[])[];
  readonly byteLength: number;
  /** Undefined while the values are on disk. */
  readonly tensors: readonly Tensor[] | undefined;
}

/** Float32 tensors by number, in memory up to a budget and on disk beyond it. */
export class TensorStore implements AsyncDisposable {
  readonly #budget: number;
  readonly #parent: string;
  readonly #entries = new Map<number, Entry>();
  #folder: string | undefined;
  #used = 0;

  /**
   * @param budget - bytes of memory
   * @param parent - where the files go; default the system's folder for temporary files
   */
  constructor(budget: number, parent: string = tmpdir()) {
    this.#budget = budget;
    this.#parent = parent;
  }

  /** Bytes that are in memory. */
  get usedBytes(): number {
    return this.#used;
  }

  /** Replaces what is under `key`. @returns whether it keeps the arrays themselves: those on disk may be used again */
  async put(key: number, tensors: readonly Tensor[]): Promise<boolean> {
    const before = this.#entries.get(key);
    if (before?.tensors) this.#used -= before.byteLength;
    const shapes = tensors.map(({ shape }) => shape);
    const byteLength = tensors.reduce((sum, { data }) => sum + 4 * data.length, 0);
    if (this.#used + byteLength <= this.#budget) {
      this.#used += byteLength;
      this.#entries.set(key, { shapes, byteLength, tensors });
      return true;
    }
    this.#entries.set(key, { shapes, byteLength, tensors: undefined });
    await guard(this.#parent, async () => {
      this.#folder ??= await mkdtemp(join(this.#parent, 'llm-calibration-'));
      await using file = await opened(this.#file(this.#folder, key), 'w');
      for (const { data } of tensors) {
        const bytes = bytesOf(data instanceof Float32Array ? data : Float32Array.from(data));
        for (let at = 0; at < bytes.length;) at += (await file.handle.write(bytes, at)).bytesWritten;
      }
    });
    return false;
  }

  /**
   * What was put under `key`; nothing if nothing was. The caller does not change it.
   * @param allocate - makes arrays for what comes from disk
   */
  async get(key: number, allocate: (length: number) => Float32Array = newArray): Promise<readonly Tensor[]> {
    const entry = this.#entries.get(key);
    if (!entry) return [];
    if (entry.tensors) return entry.tensors;
    const path = this.#file(this.#folder ?? this.#parent, key);
    await using file = await opened(path, 'r');
    const tensors: Tensor[] = [];
    for (const shape of entry.shapes) {
      const data = allocate(shape.reduce((product, dimension) => product * dimension, 1));
      const bytes = bytesOf(data);
      for (let at = 0; at < bytes.length;) {
        const { bytesRead } = await file.handle.read(bytes, at, bytes.length - at);
        if (bytesRead === 0) throw new OutputError(path, 'this was cut short while the run used it.');
        at += bytesRead;
      }
      tensors.push({ shape, data });
    }
    return tensors;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#entries.clear();
    this.#used = 0;
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }

  #file(folder: string, key: number): string {
    return join(folder, `${key}.f32`);
  }
}

const newArray = (length: number): Float32Array => new Float32Array(length);

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

async function opened(path: string, flags: string): Promise<AsyncDisposable & { readonly handle: FileHandle }> {
  const handle = await open(path, flags);
  return { handle, [Symbol.asyncDispose]: () => handle.close() };
}
