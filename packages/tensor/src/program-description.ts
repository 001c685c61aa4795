import type { LinearCompute } from './linear-compute.ts';
import type { Matrix } from './matrix.ts';

/**
 * What the native executor runs: a flat list of fused instructions over planned buffers.
 *
 * A step takes T tokens, T <= maxTokens, of one or many sequences. Buffers hold one row of float32 per token; those marked
 * `outputs` hold one row per token whose logits are wanted. Instructions run in order; the executor puts barriers between
 * stages and decides which small parts every thread repeats for itself instead of waiting.
 */
export interface ProgramDescription {
  /** The most tokens in one step. */
  readonly maxTokens: number;
  readonly vocabularySize: number;
  /** Buffers that are never alive together may share memory: `offset` is in floats per token row. */
  readonly buffers: readonly BufferDescription[];
  /** Floats per token row of the whole arena. */
  readonly rowFloats: number;
  readonly cache: CacheDescription;
  /** Tables of cos and sin, one per kind of rotation: [positions][rotaryDim / 2][2]. */
  readonly ropeTables: readonly { readonly rotaryDim: number; readonly values: Float32Array }[];
  readonly instructions: readonly Instruction[];
  /** The buffer, with a row per output, that holds the logits. */
  readonly logits: number;
  /** The buffer with the final hidden states, before the head: for embeddings of texts. */
  readonly hidden: number;
}

export interface BufferDescription {
  readonly name: string;
  readonly width: number;
  readonly offset: number;
  readonly rows: 'tokens' | 'outputs';
}

export interface CacheDescription {
  readonly layers: number;
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly type: 'f32' | 'f16' | 'bf16' | 'int8';
  /** Tokens in a block of the pool. */
  readonly blockTokens: number;
  /** Blocks in the pool. */
  readonly blocks: number;
}

/** Part of a buffer's row that starts at `column`. */
export interface Slice {
  readonly buffer: number;
  readonly column: number;
}

/**
 * Heads inside a buffer: head h starts at column + h * headStride. Queries may have a stride of their own for each group of heads
 * that share a key: head h of groups of n starts at column + floor(h / n) * groupStride + (h mod n) * headStride.
 */
export interface HeadSlice extends Slice {
  readonly headStride: number;
  /** Default: n * headStride. */
  readonly groupStride?: number;
}

export interface NormDescription {
  /** `scale` normalises nothing: it multiplies each channel by its weight. */
  readonly kind: 'rms' | 'layer' | 'scale';
  readonly weight: Float32Array;
  readonly bias?: Float32Array;
  readonly epsilon: number;
}

export type Activation = 'silu' | 'gelu' | 'geluTanh' | 'relu';

/** How a linear's 'int8' activations are quantized, or none of it. */
export interface ComputeDescription {
  readonly type: LinearCompute;
  /** Values of K under one activation scale; default 128. */
  readonly span?: number;
}

export type Instruction =
  | { readonly op: 'embed'; readonly table: Matrix; readonly out: number; readonly scale?: number }
  /** out += table[position + offset] */
  | { readonly op: 'positions'; readonly table: Matrix; readonly offset: number; readonly out: number }
  | { readonly op: 'norm'; readonly in: number; readonly out: number; readonly norm: NormDescription }
  /** Normalises each head of a slice on its own, in place. */
  | { readonly op: 'headNorm'; readonly heads: number; readonly slice: HeadSlice; readonly norm: NormDescription }
  | LinearInstruction
  | AttentionInstruction
  /** out = a (op) b */
  | { readonly op: 'add' | 'mul'; readonly a: number; readonly b: number; readonly out: number }
  | { readonly op: Activation; readonly in: number; readonly out: number }
  | { readonly op: 'scale'; readonly in: number; readonly out: number; readonly factor: number }
  | { readonly op: 'softcap'; readonly in: number; readonly out: number; readonly cap: number }
  | { readonly op: 'clamp'; readonly in: number; readonly out: number; readonly min: number; readonly max: number }
  /** out[:, i] = in[:, channels[i]] */
  | { readonly op: 'take'; readonly in: number; readonly out: number; readonly channels: Int32Array }
  /** From a buffer of tokens to one of outputs. */
  | { readonly op: 'outputs'; readonly in: number; readonly out: number };

/**
 * y = epilogue(norm(x) Wᵀ + b), for one or several matrices that read the same input: fused q, k, v or gate and up without
 * repacking. Each part's result goes to its own slice.
 */
export interface LinearInstruction {
  readonly op: 'linear';
  readonly in: number;
  /**
   * What is made of the input before all else, and kept in a buffer of its own for others: out = residual + norm(x). Not with
   * the epilogue `add`, and where T is small, every thread makes it for itself.
   */
  readonly sum?: { readonly norm?: NormDescription; readonly residual?: number; readonly out: number };
  /** Applied to the input, or to that sum, by every thread for itself when T is small. */
  readonly norm?: NormDescription;
  /** Needs nothing of the instruction before it, so that threads may begin it at once. Default false. */
  readonly joins?: boolean;
  readonly compute: ComputeDescription;
  readonly parts: readonly LinearPart[];
  /**
   * none       out = y
   * add        out = residual + y (residual may be out); with several residuals they are added in order
   * activation out = f(y)
   * gated      two parts, gate then up: out of the first part = f(gate) * up
   * clamp      out = y, kept from min to max
   */
  readonly epilogue:
    | { readonly kind: 'none' }
    | { readonly kind: 'add'; readonly residuals: readonly number[] }
    | { readonly kind: 'activation'; readonly activation: Activation }
    | { readonly kind: 'gated'; readonly activation: Activation }
    | { readonly kind: 'clamp'; readonly min: number; readonly max: number };
}

export interface LinearPart {
  /** The linear's name in the model, for profiles and error messages. */
  readonly name: string;
  readonly weight: Matrix;
  readonly bias?: Float32Array;
  readonly out: Slice;
}

export interface AttentionInstruction {
  readonly op: 'attention';
  readonly layer: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly q: HeadSlice;
  readonly k: HeadSlice;
  readonly v: HeadSlice;
  readonly out: HeadSlice;
  readonly scale: number;
  /** Rotation of q and k before the cache; `table` indexes ropeTables. */
  readonly rope?: { readonly table: number; readonly style: 'half' | 'interleaved' };
  /** Normalisation of each head of q and k before the rotation. */
  readonly queryNorm?: NormDescription;
  readonly keyNorm?: NormDescription;
  /** Keys further back than this are not seen; 0 for none. */
  readonly window?: number;
  /** Scores become cap * tanh(score / cap). */
  readonly softcap?: number;
  /** Linear biases, one slope per head. */
  readonly alibi?: Float32Array;
}

/** The most tokens that a sequence of the program can hold: the cache, tables of rotations and of positions limit it. */
export function contextLength(description: ProgramDescription): number {
  const { cache, ropeTables, instructions } = description;
  const limits = [
    cache.blocks * cache.blockTokens,
    ...ropeTables.map(({ rotaryDim, values }) => Math.floor(values.length / rotaryDim)),
    ...instructions.flatMap((instruction) =>
      instruction.op === 'positions' ? [instruction.table.rows - instruction.offset] : [],
    ),
  ];
  return Math.min(...limits);
}
