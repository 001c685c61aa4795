import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { kernelsFor } from './cpu.ts';
import type { ComputeType } from './matmul.ts';
import { Matrix, packedByteLength, type MatrixDescription } from './matrix.ts';
import { checkOptions } from './options.ts';
import { Storage } from './storage.ts';

export interface MatmulTimerOptions {
  /** Rows of x. */
  readonly rows: number;
  /** Default `int8`. */
  readonly compute?: ComputeType;
  readonly span?: number;
  readonly isa?: string;
  readonly threads?: number;
  /** Products to time at most. Default 20. */
  readonly repeats?: number;
  /** Stop after so many seconds, but not before the third product. Default: never. */
  readonly seconds?: number;
}

export interface MatmulTiming {
  /** Of each product, preparation of the activations included, the fastest first. */
  readonly seconds: readonly number[];
  /** Bytes of weights that each product reads. */
  readonly weightBytes: number;
  /** Multiplications and additions of each product. */
  readonly operations: number;
}

/** A random weight, in copies that no cache holds together, to time products with. For benchmarks. */
export class MatmulTimer implements Disposable {
  readonly #weight: MatrixDescription;
  readonly #weightBytes: number;
  readonly #storage: Storage;
  readonly #matrices: readonly Matrix[];

  /** @param workingSet - bytes of all copies */
  constructor(weight: MatrixDescription, workingSet: number) {
    this.#weight = weight;
    this.#weightBytes = packedByteLength(weight);
    const stride = Math.ceil(this.#weightBytes / 64) * 64;
    const copies = Math.max(1, Math.floor(workingSet / stride));
    this.#storage = Storage.allocate(copies * stride);
    const bytes = randomBytes(this.#weightBytes);
    for (let copy = 0; copy < copies; copy++) this.#storage.write(copy * stride, bytes);
    this.#matrices = Array.from({ length: copies }, (_, copy) => new Matrix(weight, this.#storage, copy * stride));
  }

  time(options: MatmulTimerOptions): MatmulTiming {
    const known = ['rows', 'compute', 'span', 'isa', 'threads', 'repeats', 'seconds'];
    checkOptions(options, known, 'MatmulTimer.time()');
    const { rows, compute = 'int8', span = 0, threads = 0, repeats = 20, seconds = Infinity } = options;
    const isa = kernelsFor(options.isa);
    const x = Float32Array.from({ length: rows * this.#weight.columns }, () => Math.random() - 0.5);
    const measured = translateErrors(() =>
      backend().addon.timeMatmul(
        this.#matrices.map((matrix) => matrix.handle),
        ...([x, rows, compute, span, isa, threads, repeats + 1, seconds] as const),
      ),
    );
    return {
      // The first one also touches the memory of its own buffers.
      seconds: measured.slice(1).sort((a, b) => a - b),
      weightBytes: this.#weightBytes,
      operations: 2 * rows * this.#weight.rows * this.#weight.columns,
    };
  }

  [Symbol.dispose](): void {
    for (const matrix of this.#matrices) matrix[Symbol.dispose]();
    this.#storage[Symbol.dispose]();
  }
}

/** Of any format: every 16-bit or 32-bit number among them is finite. The same megabyte again and again. */
function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const period = Math.min(length, 2 ** 20);
  for (let i = 0; i < period; i++) bytes[i] = i % 2 === 1 ? (Math.random() * 256) & 0xbf : Math.random() * 256;
  for (let i = period; i < length; i += period) bytes.copyWithin(i, 0, Math.min(period, length - i));
  return bytes;
}
