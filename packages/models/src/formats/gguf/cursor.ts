import { CorruptFileError } from '../../errors.ts';
import { FileReader } from '../../read-file.ts';

/** Headers are read in pieces of this size. */
const WINDOW_BYTES = 1 << 20;

/** Walks through a GGUF header: little-endian numbers and length-prefixed strings, each checked against the end of the file. */
export class GgufCursor implements Disposable {
  readonly #file: FileReader;
  #window: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #windowStart = 0;
  #offset = 0;

  constructor(path: string) {
    this.#file = new FileReader(path);
  }

  get path(): string {
    return this.#file.path;
  }

  get size(): number {
    return this.#file.size;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.size - this.#offset;
  }

  u8(): number {
    const at = this.#take(1);
    return this.#view.getUint8(at);
  }

  u32(): number {
    const at = this.#take(4);
    return this.#view.getUint32(at, true);
  }

  u64(): bigint {
    const at = this.#take(8);
    return this.#view.getBigUint64(at, true);
  }

  f32(): number {
    const at = this.#take(4);
    return this.#view.getFloat32(at, true);
  }

  f64(): number {
    const at = this.#take(8);
    return this.#view.getFloat64(at, true);
  }

  /** A u64 that must be a safe integer: a dimension or an offset. */
  size64(): number {
    const at = this.#offset;
    const value = this.u64();
    if (value > Number.MAX_SAFE_INTEGER) throw new CorruptFileError(this.path, at, `${value} is too large for a size`);
    return Number(value);
  }

  /** A u64 number of items that take at least `itemBytes` each and so must fit the rest of the file. */
  count(itemBytes: number): number {
    const at = this.#offset;
    const value = this.u64();
    if (value > this.remaining / itemBytes) {
      throw new CorruptFileError(this.path, at, `${value} items do not fit the ${this.remaining} bytes that follow`);
    }
    return Number(value);
  }

  string(limit: number = this.size): string {
    const at = this.#offset;
    const length = this.count(1);
    if (length > limit)
      throw new CorruptFileError(this.path, at, `a text of ${length} bytes, at most ${limit} are allowed`);
    const start = this.#take(length);
    return this.#window.toString('utf8', start, start + length);
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return new Uint8Array(this.#window.subarray(start, start + length));
  }

  /** Makes the next bytes part of the window, moves past them, and returns where in the window they start. */
  #take(length: number): number {
    const start = this.#offset;
    if (start + length > this.#windowStart + this.#window.length) {
      const size = Math.max(length, Math.min(WINDOW_BYTES, this.remaining));
      const bytes = this.#file.read(start, size);
      this.#window = Buffer.from(bytes.buffer);
      this.#view = new DataView(bytes.buffer);
      this.#windowStart = start;
    }
    this.#offset = start + length;
    return start - this.#windowStart;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
