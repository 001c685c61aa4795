import type { NativeSamplingOptions } from './program-calls.ts';

/** Sizes and settings of one call of attention(), all numbers. */
export interface NativeAttentionShape {
  readonly queries: number;
  readonly tokens: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly blockTokens: number;
  readonly scale: number;
  readonly softcap: number;
  readonly window: number;
  readonly queriesPerTask: number;
  readonly parts: number;
  readonly interleaved: number;
}

export interface NativeSample {
  readonly token: number;
  readonly logProbability?: number;
  readonly topTokens: Int32Array;
  readonly topLogProbabilities: Float32Array;
}

/** native/addon/{vector,attention,sampling}_binding.cc */
export interface VectorCalls {
  mapVectors(isa: string, name: string, x: Float32Array, y: Float32Array | undefined, out: Float32Array): void;
  mapWithNumbers(
    isa: string,
    name: string,
    x: Float32Array,
    a: number,
    b: number,
    out: Float32Array,
  ): number | undefined;
  reduceVector(isa: string, name: string, x: Float32Array): number;
  normRows(
    isa: string,
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array | undefined,
    layer: boolean,
    epsilon: number,
    out: Float32Array,
  ): void;
  ropeHeads(isa: string, heads: Float32Array, headDim: number, cosSin: Float32Array, interleaved: boolean): void;
  indicesAtLeast(isa: string, x: Float32Array, threshold: number): Int32Array;

  attention(
    isa: string,
    cacheType: string,
    shape: NativeAttentionShape,
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    alibi: Float32Array | undefined,
    blockOrder: Int32Array,
    out: Float32Array,
    angles: Float32Array | undefined,
  ): void;

  /** Seconds of each of `repeats` steps over every layer. */
  attentionSeconds(
    isa: string,
    cacheType: string,
    shape: Omit<NativeAttentionShape, 'scale' | 'softcap' | 'window' | 'queriesPerTask' | 'parts' | 'interleaved'> & {
      readonly layers: number;
    },
    repeats: number,
    threads: number,
  ): Float64Array;
  attentionHeadBytes(cacheType: string, blockTokens: number, keyDim: number, valueDim: number): number;

  sampleToken(
    isa: string,
    logits: Float32Array,
    options: NativeSamplingOptions,
    history: Int32Array,
    promptTokens: number,
    draw: number,
    allowed: Uint32Array | undefined,
    logProbability: boolean,
    topLogProbabilities: number,
  ): NativeSample;
}
