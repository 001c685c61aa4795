import {
  Matrix,
  packMatrix,
  packedByteLength,
  Storage,
  type DenseFormat,
  type Graph,
  type MatrixDescription,
  type MatrixFormat,
} from '@llm/tensor';
import type { WeightFormat, Weights } from '../compile/weights.ts';

export interface SyntheticOptions {
  /** Format of the linears. */
  readonly format: MatrixFormat;
  /** Weights under one scale; -1 for the whole row. */
  readonly groupSize: number;
  /** Format of the embedding and the head; default int4 as the linears. */
  readonly headFormat?: MatrixFormat;
}

/**
 * Random weights in the shapes that a graph asks for, as far as speed can tell: one random block of 32 outputs is repeated
 * down each matrix, so that making 7 billion weights takes seconds. They say nothing about quality.
 */
export class SyntheticWeights implements Weights, Disposable {
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #options: SyntheticOptions;
  readonly #headNames: ReadonlySet<string>;
  readonly #matrices = new Map<string, Matrix>();
  /** Where each matrix begins in the one storage that holds all, as in a file; in huge pages. */
  readonly #offsets = new Map<string, number>();
  #storage: Storage | undefined;

  constructor(graph: Graph, options: SyntheticOptions) {
    this.#options = options;
    const weights = graph.nodes.filter((node) => node.op === 'weight');
    this.#shapes = new Map(weights.map((node) => [node.attributes.name, node.shape as readonly number[]]));
    // What lies outside the decoder blocks: the embedding and the head.
    this.#headNames = new Set(weights.filter((node) => node.block === undefined).map((node) => node.attributes.name));
  }

  format(name: string): WeightFormat {
    const [rows = 0, columns = 0] = this.#shapes.get(name) ?? [];
    const format = this.#headNames.has(name)
      ? (this.#options.headFormat ?? this.#options.format)
      : this.#options.format;
    return { format, rows, columns, groupSize: isDense(format) ? undefined : this.#groupSize(columns) };
  }

  /** Bytes that all matrices take together; none is made for this. */
  get totalBytes(): number {
    const matrices = [...this.#shapes].filter(([, shape]) => shape.length === 2);
    return matrices.reduce((sum, [name]) => sum + this.byteLength(name), 0);
  }

  /** Packed size of a matrix. */
  byteLength(name: string): number {
    return packedByteLength(describe(this.format(name)));
  }

  /** Made when first asked for. */
  matrix(name: string): Matrix {
    const known = this.#matrices.get(name);
    if (known) return known;
    this.#storage ??= this.#allocate();
    const made = randomMatrix(this.format(name), this.#storage, this.#offsets.get(name) ?? 0);
    this.#matrices.set(name, made);
    return made;
  }

  /** Norm weights of one, biases of nought. */
  vector(name: string): Float32Array {
    const [length = 0] = this.#shapes.get(name) ?? [];
    return new Float32Array(length).fill(name.endsWith('bias') ? 0 : 1);
  }

  [Symbol.dispose](): void {
    for (const matrix of this.#matrices.values()) matrix[Symbol.dispose]();
    this.#matrices.clear();
    this.#storage?.[Symbol.dispose]();
  }

  #allocate(): Storage {
    let size = 0;
    for (const [name, shape] of this.#shapes) {
      if (shape.length !== 2) continue;
      this.#offsets.set(name, size);
      size += Math.ceil(this.byteLength(name) / 64) * 64;
    }
    return Storage.allocate(size);
  }

  #groupSize(columns: number): number {
    return this.#options.groupSize === -1 ? columns : Math.min(this.#options.groupSize, columns);
  }
}

function isDense(format: MatrixFormat): format is DenseFormat {
  return format === 'f32' || format === 'f16' || format === 'bf16';
}

const blockRows = 32;

function describe({ format, rows, columns, groupSize }: WeightFormat): MatrixDescription {
  return { format, rows, columns, ...(groupSize === undefined ? {} : { groupSize }) };
}

function randomMatrix(weight: WeightFormat, storage: Storage, offset: number): Matrix {
  const { format, columns, groupSize } = weight;
  const description = describe(weight);
  const block = randomBlock(format, columns, groupSize ?? columns);
  const end = offset + packedByteLength(description);
  // Many copies in one write: a call for each block of a wide matrix would be slow.
  const copies = Math.max(1, Math.floor(2 ** 22 / block.length));
  const chunk = new Uint8Array(block.length * copies);
  for (let i = 0; i < copies; i++) chunk.set(block, i * block.length);
  for (let at = offset; at < end; at += chunk.length)
    storage.write(at, chunk.subarray(0, Math.min(chunk.length, end - at)));
  return new Matrix(description, storage, offset);
}

/** The bytes of 32 random rows, with values of a standard deviation near 1 / sqrt(columns). */
function randomBlock(format: MatrixFormat, columns: number, groupSize: number): Uint8Array {
  const random = generator(columns);
  const deviation = 1 / Math.sqrt(columns);
  if (isDense(format)) {
    const values = Float32Array.from({ length: blockRows * columns }, () => (random() - 0.5) * deviation * 3.46);
    if (format === 'f32') return new Uint8Array(values.buffer);
    // The upper half of a float32 is its bfloat16, truncated; good enough for noise, and as float16 merely other noise.
    const bits = new Uint32Array(values.buffer);
    const shift =
      format === 'bf16'
        ? (v: number) => v >>> 16
        : (v: number) => (v & 0x80000000 ? 0x8000 : 0) | 0x2400 | ((v >>> 13) & 0x3ff);
    return new Uint8Array(Uint16Array.from(bits, shift).buffer);
  }
  const bits = format === 'int8' ? 8 : 4;
  const groups = Math.ceil(columns / groupSize);
  // A uniform code of b bits has a standard deviation of 2^b / sqrt(12) steps.
  const scale = (deviation * Math.sqrt(12)) / 2 ** bits;
  const codes = Uint8Array.from({ length: blockRows * columns }, () => Math.floor(random() * 2 ** bits));
  const scales = new Float32Array(blockRows * groups).fill(scale);
  const zeroPoints = new Uint8Array(blockRows * groups).fill(8);
  const minima = new Float32Array(blockRows * groups).fill(-scale * 7.5);
  using matrix = packMatrix(
    { format, rows: blockRows, columns, groupSize },
    {
      codes,
      scales,
      ...(format.endsWith('asym') ? { zeroPoints } : {}),
      ...(format.endsWith('min') ? { minima } : {}),
    },
  );
  return matrix.bytes();
}

/** Numbers in [0, 1) that are the same each time (a multiplicative congruential generator, Lehmer 1951). */
function generator(seed: number): () => number {
  let state = (seed % 2147483646) + 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}
