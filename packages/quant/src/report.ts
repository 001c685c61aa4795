import type { LinearCompute, PackedFormat } from '@llm/tensor';
import type { Scheme } from './grid.ts';
import type { RoundingMethod } from './recipe.ts';

/** What became of one weight. */
export interface LayerReport {
  /** Name of the tensor. */
  readonly weight: string;
  readonly method: RoundingMethod;
  readonly bits: number;
  readonly groupSize: number;
  readonly scheme: Scheme;
  /** How it is stored; may have more bits than the grid. */
  readonly format: PackedFormat;
  /** Arithmetic of the linears that read it, where the recipe asks for more than int8. */
  readonly compute?: LinearCompute;
  readonly rows: number;
  readonly columns: number;
  /** |W - W'| / |W|, Frobenius norms. */
  readonly relativeError: number;
  /** tr(ΔGΔᵀ) / tr(WGWᵀ): squared error of the layer's outputs on the calibration text, relative to them. Of calibrated methods. */
  readonly outputError?: number;
  /** The same of plain rounding, on the same input: never smaller. */
  readonly roundingError?: number;
  /** Of `signround`: squared error of the block's output, on the text that it is judged by, and the same of plain rounding. */
  readonly blockError?: number;
  readonly roundingBlockError?: number;
  /** Damping that GPTQ needed; absent where none helped and the layer was rounded. */
  readonly damping?: number;
  /** Rows where plain rounding was kept because it did better. */
  readonly guardedRows?: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** What `quantize()` did. */
export interface QuantizationReport {
  /** The folder that was written. */
  readonly output: string;
  readonly layers: readonly LayerReport[];
  /** All tensors, those that stayed as they were included. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Tensors that an earlier, interrupted run had finished. */
  readonly resumed: number;
}
