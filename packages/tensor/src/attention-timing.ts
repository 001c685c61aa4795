import type { CacheType } from './attention.ts';
import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { kernelsFor } from './cpu.ts';
import { checkOptions } from './options.ts';

export interface AttentionTimingOptions {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens in the cache, the queries' own included. */
  readonly tokens: number;
  /** Tokens of the step; default 1. */
  readonly queries?: number;
  /** Default f16. */
  readonly cacheType?: CacheType;
  /** Default 1. */
  readonly threads?: number;
  /** Steps to measure; default 9. */
  readonly repeats?: number;
  /** A kernel table of {@link cpuInfo}; default: the best. */
  readonly isa?: string;
}

export interface AttentionTiming {
  /** Of one step through all layers, sorted. */
  readonly seconds: readonly number[];
  /** Keys and values that one step reads. */
  readonly cacheBytes: number;
  /** Multiplications with keys and values in one step. */
  readonly products: number;
}

const optionNames = [
  ...['layers', 'heads', 'kvHeads', 'headDim', 'tokens', 'queries', 'cacheType', 'threads', 'repeats', 'isa'],
];

/** Measures attention alone, over a cache that nothing else uses; make it larger than the CPU's caches to see memory. */
export function timeAttention(options: AttentionTimingOptions): AttentionTiming {
  checkOptions(options, optionNames, 'timeAttention()');
  const { layers, heads, kvHeads, headDim, tokens, queries = 1, cacheType = 'f16', threads = 1, repeats = 9 } = options;
  const shape = { ...{ layers, heads, kvHeads, tokens, queries }, keyDim: headDim, valueDim: headDim, blockTokens: 64 };
  const { addon } = backend();
  const seconds = translateErrors(() =>
    addon.attentionSeconds(kernelsFor(options.isa), cacheType, shape, repeats, threads),
  );
  const blockBytes = addon.attentionHeadBytes(cacheType, 64, headDim, headDim);
  const visible = queries * (tokens - queries) + (queries * (queries + 1)) / 2;
  return {
    seconds: Array.from(seconds).sort((a, b) => a - b),
    cacheBytes: (layers * kvHeads * blockBytes * tokens) / 64,
    products: layers * heads * 2 * headDim * visible,
  };
}
