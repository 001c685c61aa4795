import { packedByteLength, type BufferDescription, type CacheDescription } from '@llm/tensor';

import type { ProgramPlan } from './compile/compile.ts';
import type { WeightFormat } from './compile/weights.ts';

/** Bytes that a loaded model takes. */
export interface MemoryEstimate {
  /** Matrices, mapped from the file or quantized while loading. */
  readonly weights: number;
  /** The pool of keys and values. */
  readonly cache: number;
  /** Buffers of a step. Beside them threads keep scratch space of some MiB: `scratchBytes` of {@link Model.stats}. */
  readonly arena: number;
  readonly total: number;
}

/** Logits that the executor keeps in memory at once; where a step wants more, its end runs in rounds. */
const logitsFloats = 2 ** 24;

export function estimateMemory(
  plan: ProgramPlan,
  weights: Iterable<WeightFormat>,
  maxTokens: number,
  vocabularySize: number,
): MemoryEstimate {
  const cache = cacheBytes(plan.cache);
  const floatsOf = (kind: BufferDescription['rows']): number => {
    const buffers = plan.memory.buffers.filter(({ rows }) => rows === kind);
    const ends = buffers.map(({ offset, width }) => offset + width);
    return buffers.length === 0 ? 0 : Math.max(...ends) - Math.min(...buffers.map(({ offset }) => offset));
  };
  const outputRows = Math.min(maxTokens, Math.max(1, Math.floor(logitsFloats / vocabularySize)));
  const arena = (floatsOf('tokens') * maxTokens + floatsOf('outputs') * outputRows) * Float32Array.BYTES_PER_ELEMENT;
  let matrices = 0;
  for (const weight of weights) matrices += packedByteLength(describe(weight));
  return { weights: matrices, cache, arena, total: matrices + cache + arena };
}

function describe({ groupSize, ...rest }: WeightFormat): Parameters<typeof packedByteLength>[0] {
  const { format, rows, columns } = rest;
  return groupSize === undefined ? { format, rows, columns } : { format, rows, columns, groupSize };
}

const bytesPerValue = { f32: 4, f16: 2, bf16: 2, int8: 1 };

/** Bytes of the whole pool. Cached 8-bit values carry a float32 scale per token and head. */
export function cacheBytes(cache: CacheDescription): number {
  return cache.blocks * cacheBlockBytes(cache);
}

/**
 * Bytes of one block: keys and values of blockTokens tokens in all layers. Of every head keys, values and scales begin at cache lines,
 * and rows of values are padded to whole vectors: native/kernels/attention_layout.cc.
 */
export function cacheBlockBytes(cache: Omit<CacheDescription, 'blocks'>): number {
  const { layers, kvHeads, keyDim, valueDim, type, blockTokens } = cache;
  const roundUp = (count: number, to: number): number => Math.ceil(count / to) * to;
  const lines = (values: number, bytes = bytesPerValue[type]): number => roundUp(blockTokens * values * bytes, 64);
  const scales = type === 'int8' ? lines(2, Float32Array.BYTES_PER_ELEMENT) : 0;
  return layers * kvHeads * (lines(keyDim) + lines(roundUp(valueDim, 16)) + scales);
}

/** What two models take together. */
export function sumOf(a: MemoryEstimate, b: MemoryEstimate): MemoryEstimate {
  return {
    weights: a.weights + b.weights,
    cache: a.cache + b.cache,
    arena: a.arena + b.arena,
    total: a.total + b.total,
  };
}
