import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor } from '@llm/tensor';
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

  /** Replaces what is under `key`. */
  async put(key: number, tensors: readonly Tensor[]): Promise<void> {
    const before = this.#entries.get(key);
    if (before?.tensors) this.#used -= before.byteLength;
    const shapes = tensors.map(({ shape }) => shape);
    const byteLength = tensors.reduce((sum, { data }) => sum + 4 * data.length, 0);
    if (this.#used + byteLength <= this.#budget) {
      this.#used += byteLength;
      this.#entries.set(key, { shapes, byteLength, tensors });
      return;
    }
    this.#entries.set(key, { shapes, byteLength, tensors: undefined });
    const values = new Float32Array(byteLength / 4);
    let at = 0;
    for (const { data } of tensors) {
      values.set(data, at);
      at += data.length;
    }
    await guard(this.#parent, async () => {
      this.#folder ??= await mkdtemp(join(this.#parent, 'llm-calibration-'));
      await writeFile(this.#file(this.#folder, key), new Uint8Array(values.buffer));
    });
  }

  /** What was put under `key`; nothing if nothing was. The caller does not change it. */
  async get(key: number): Promise<readonly Tensor[]> {
    const entry = this.#entries.get(key);
    if (!entry) return [];
    if (entry.tensors) return entry.tensors;
    const bytes = await readFile(this.#file(this.#folder ?? this.#parent, key));
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    let at = 0;
    return entry.shapes.map((shape) => {
      const length = shape.reduce((product, dimension) => product * dimension, 1);
      const data = values.slice(at, at + length);
      at += length;
      return { shape, data };
    });
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
