import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { cpuInfo } from './cpu.ts';
import { InvalidOptionError, ShapeMismatchError } from './errors.ts';
import type { Matrix } from './matrix.ts';
import { checkOptions } from './options.ts';

/**
 * How a product is computed.
 *
 * - `int8`: activations are quantized to int8 as they come, symmetrically, one scale per row and span of K; packed
 *   weights only, dense ones are computed as `f32`
 * - `f32`: exact weights, float32 sums in the order of K
 * - `bf16`: both factors rounded to bfloat16, float32 sums; as `f32` on tables without such instructions
 * - `f16`: both factors rounded to float16, sums of 32 products in float16 and sums of those in float32; as `f32` on
 *   tables without half-precision arithmetic
 */
export type ComputeType = 'int8' | 'f32' | 'bf16' | 'f16';

export interface MatmulOptions {
  /** Rows of x. */
  readonly rows: number;
  /** Default `int8`. */
  readonly compute?: ComputeType;
  /** Values of K under one activation scale, a multiple of 8; whole weight groups, or a whole part of one. Default 128. */
  readonly span?: number;
  /** A kernel table of {@link cpuInfo}. Default: the best. */
  readonly isa?: string;
  /** Default: those of the shared pool. The result does not depend on it. */
  readonly threads?: number;
}

/**
 * x Wᵀ: [rows × weight.rows] from x [rows × weight.columns]. Rows with NaN or infinite activations come out as NaN under
 * `int8`.
 * @throws {@link ShapeMismatchError} if x has not rows × weight.columns values
 */
export function matmul(x: Float32Array, weight: Matrix, options: MatmulOptions): Float32Array<ArrayBuffer> {
  checkOptions(options, ['rows', 'compute', 'span', 'isa', 'threads'], 'matmul()');
  const { rows, compute = 'int8', span = 0, isa = cpuInfo().isa, threads = 0 } = options;
  if (x.length !== rows * weight.columns)
    throw new ShapeMismatchError(
      `x has ${String(x.length)} values; ${String(rows)} rows of ${String(weight.columns)} were expected.`,
    );
  const runnable = cpuInfo().tables.filter((table) => table.runnable);
  if (!runnable.some((table) => table.isa === isa))
    throw new InvalidOptionError(
      'isa',
      isa,
      runnable.map((table) => table.isa),
    );
  const out = new Float32Array(rows * weight.rows);
  translateErrors(() => {
    backend().addon.matmul(weight.handle, x, rows, compute, span, isa, threads, out);
  });
  return out;
}
