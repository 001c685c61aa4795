import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { cpuInfo } from './cpu.ts';
import type { ComputeType } from './matmul.ts';
import { Matrix, packedByteLength, type MatrixDescription } from './matrix.ts';
import { checkOptions } from './options.ts';
import { Storage } from './storage.ts';

export interface TimeMatmulOptions {
  /** Rows of x. */
  readonly rows: number;
  /** Default `int8`. */
  readonly compute?: ComputeType;
  readonly span?: number;
  readonly isa?: string;
  readonly threads?: number;
  /** Products to time. Default 20. */
  readonly repeats?: number;
  /** Copies of the weight are taken in turn until they fill so many bytes, far more than the caches. Default 1 GiB. */
  readonly workingSet?: number;
}

export interface MatmulTiming {
  /** Of each product, preparation of the activations included, the fastest first. */
  readonly seconds: readonly number[];
  /** Bytes of weights that each product reads. */
  readonly weightBytes: number;
  /** Multiplications and additions of each product. */
  readonly operations: number;
}

/** Times products with a random weight by itself: for benchmarks. */
export function timeMatmul(weight: MatrixDescription, options: TimeMatmulOptions): MatmulTiming {
  const known = ['rows', 'compute', 'span', 'isa', 'threads', 'repeats', 'workingSet'];
  checkOptions(options, known, 'timeMatmul()');
  const { rows, compute = 'int8', span = 0, isa = cpuInfo().isa, threads = 0, repeats = 20 } = options;
  const weightBytes = packedByteLength(weight);
  const stride = Math.ceil(weightBytes / 64) * 64;
  const copies = Math.max(1, Math.min(repeats, Math.floor((options.workingSet ?? 2 ** 30) / stride)));
  using storage = Storage.allocate(copies * stride);
  const bytes = randomBytes(weightBytes);
  for (let copy = 0; copy < copies; copy++) storage.write(copy * stride, bytes);
  const matrices = Array.from({ length: copies }, (_, copy) => new Matrix(weight, storage, copy * stride));
  const x = Float32Array.from({ length: rows * weight.columns }, () => Math.random() - 0.5);
  try {
    const seconds = translateErrors(() =>
      backend().addon.timeMatmul(
        matrices.map((matrix) => matrix.handle),
        ...([x, rows, compute, span, isa, threads, repeats + 1] as const),
      ),
    );
    // The first one also touches the memory of its own buffers.
    const sorted = seconds.slice(1).sort((a, b) => a - b);
    return { seconds: sorted, weightBytes, operations: 2 * rows * weight.rows * weight.columns };
  } finally {
    for (const matrix of matrices) matrix[Symbol.dispose]();
  }
}

/** Of any format: every 16-bit or 32-bit number among them is finite. */
function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i % 2 === 1 ? (Math.random() * 256) & 0xbf : Math.random() * 256;
  return bytes;
}
