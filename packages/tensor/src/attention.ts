import { backend } from './backend/load.ts';
import { translateErrors } from './backend/translate-errors.ts';
import { kernelsFor } from './cpu.ts';
import { InvalidArgumentError } from './errors.ts';
import { checkOptions } from './options.ts';

/** How keys and values are stored between steps. `int8` has one scale for each token and head. */
export type CacheType = 'f32' | 'f16' | 'bf16' | 'int8';

export interface AttentionOptions {
  /** Query heads; a multiple of kvHeads. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly keyDim: number;
  /** Default: keyDim. */
  readonly valueDim?: number;
  /** What scores are multiplied by; default 1 / sqrt(keyDim). */
  readonly scale?: number;
  /** Scores become cap tanh(score / cap); 0, the default, for none. */
  readonly softcap?: number;
  /** Keys that a query sees, its own position included; 0, the default, for all. */
  readonly window?: number;
  /** Linear biases: slope (key position - query position) is added, one slope per head. */
  readonly alibi?: Float32Array;
  /** Default f32. */
  readonly cacheType?: CacheType;
  /** Tokens in a block of the cache, a multiple of 16; default 64. */
  readonly blockTokens?: number;
  /** Which place in memory every block of the sequence gets; default: in order. The result does not depend on it. */
  readonly blockOrder?: Int32Array;
  /** Queries that are computed together; default: all. The result does not depend on it. */
  readonly queriesPerTask?: number;
  /** Parts that a long context is cut into, as several threads would; default: none. The result does not depend on it. */
  readonly parts?: number;
  /** Turns the stored keys by the angles [pairs][cos, sin] of a distance, as shifting a context does; default: not. */
  readonly keyRotation?: { readonly cosSin: Float32Array; readonly style: 'half' | 'interleaved' };
  /** A kernel table of {@link cpuInfo}; default: the best. */
  readonly isa?: string;
}

const optionNames = [
  ...['heads', 'kvHeads', 'keyDim', 'valueDim', 'scale', 'softcap', 'window', 'alibi', 'cacheType', 'blockTokens'],
  ...['blockOrder', 'queriesPerTask', 'parts', 'keyRotation', 'isa'],
];

/**
 * Causal attention of queries [n × heads × keyDim], the last n of the tokens whose keys are k [tokens × kvHeads × keyDim]
 * and values v [tokens × kvHeads × valueDim]. Goes through a cache of its own, by the kernels that a program uses.
 * @returns [n × heads × valueDim]
 * @throws {@link InvalidArgumentError}, {@link ShapeMismatchError} if the sizes do not fit together
 */
export function attention(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  options: AttentionOptions,
): Float32Array<ArrayBuffer> {
  checkOptions(options, optionNames, 'attention()');
  const { heads, kvHeads, keyDim, valueDim = keyDim, blockTokens = 64, cacheType = 'f32' } = options;
  const queries = q.length / (heads * keyDim);
  const tokens = k.length / (kvHeads * keyDim);
  if (!Number.isInteger(queries) || !Number.isInteger(tokens))
    throw new InvalidArgumentError(
      `q has ${String(q.length)} values and k has ${String(k.length)}; whole rows of ${String(heads)} and ${String(kvHeads)} heads of ${String(keyDim)} were expected.`,
    );
  const shape = {
    ...{ queries, tokens, heads, kvHeads, keyDim, valueDim, blockTokens },
    scale: options.scale ?? 1 / Math.sqrt(keyDim),
    softcap: options.softcap ?? 0,
    window: options.window ?? 0,
    queriesPerTask: options.queriesPerTask ?? queries,
    parts: options.parts ?? 0,
    interleaved: options.keyRotation?.style === 'interleaved' ? 1 : 0,
  };
  const order = options.blockOrder ?? Int32Array.from({ length: Math.ceil(tokens / blockTokens) }, (_, i) => i);
  const out = new Float32Array(queries * heads * valueDim);
  translateErrors(() => {
    const isa = kernelsFor(options.isa);
    backend().addon.attention(isa, cacheType, shape, q, k, v, options.alibi, order, out, options.keyRotation?.cosSin);
  });
  return out;
}
