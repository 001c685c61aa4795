import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { cpuInfo } from './cpu.ts';
import type { ComputeType } from './matmul.ts';
import { nativeShape, type MatrixDescription } from './matrix.ts';
import { checkOptions } from './options.ts';

export interface DescribeKernelsOptions {
  /** Default `int8`. */
  readonly compute?: ComputeType;
  /** Values of K under one activation scale. Default 128. */
  readonly span?: number;
  /** A kernel table of {@link cpuInfo}. Default: the best. */
  readonly isa?: string;
  /** Rows of x. Default 1 (decode), 8 (a small batch) and 512 (prefill). */
  readonly rows?: readonly number[];
}

/** What the kernel selector chose, and why. */
export interface KernelChoice {
  readonly rows: number;
  readonly isa: string;
  /**
   * - `rows`: codes are decoded in registers for up to six rows at a time
   * - `panel`: a block's codes are decoded to bytes once for all rows
   * - `stream`: dense weights are transposed in registers, for up to four rows
   * - `float`: a block's weights are decoded to float32 once for all rows
   * - `bf16`, `f16`: the same, rounded to bfloat16 or float16
   * - `tiles`, `bf16-tiles`: as `panel` and `bf16`, in the tile registers of AMX
   */
  readonly kernel: string;
  readonly reason: string;
}

/** The kernels that multiply activations with such a matrix, by the number of rows. `LLM_MATMUL` forces `rows` or `panel`. */
export function describeKernels(weight: MatrixDescription, options: DescribeKernelsOptions = {}): KernelChoice[] {
  checkOptions(options, ['compute', 'span', 'isa', 'rows'], 'describeKernels()');
  const { compute = 'int8', span = 0, isa = cpuInfo().isa, rows = [1, 8, 512] } = options;
  return rows.map((count) => {
    const choice = translateErrors(() =>
      backend().addon.selectMatmul(...nativeShape(weight), compute, span, isa, count),
    );
    return { rows: count, isa, ...choice };
  });
}
