import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { attention, type AttentionOptions, type CacheType } from './attention.ts';
import { cpuInfo } from './cpu.ts';
import { InvalidArgumentError, ShapeMismatchError, UnknownOptionError } from './errors.ts';
import { randomGenerator } from './testing/random-matrix.ts';
import { ropeHeads } from './vector.ts';

// Other tables share the attention kernels of one of these.
const own = ['avx512f', 'avx2', 'neon', 'wasm_simd128', 'scalar'];
const tables = cpuInfo()
  .tables.filter((table) => table.runnable && own.includes(table.isa))
  .map((table) => table.isa);

interface Case extends AttentionOptions {
  readonly queries: number;
  readonly tokens: number;
  readonly seed: number;
}

const { abs, exp, max, tanh } = Math; // globals are slow to reach inside a test

const made = new Map<string, Inputs>();

function inputs(options: Case): Inputs {
  const { queries, tokens, heads, kvHeads, keyDim, valueDim, seed } = options;
  const key = [queries, tokens, heads, kvHeads, keyDim, valueDim, seed].join();
  const result = made.get(key) ?? makeInputs(options);
  made.set(key, result);
  return result;
}

interface Inputs {
  readonly q: Float32Array<ArrayBuffer>;
  readonly k: Float32Array<ArrayBuffer>;
  readonly v: Float32Array<ArrayBuffer>;
}

function makeInputs({ queries, tokens, heads, kvHeads, keyDim, valueDim = keyDim, seed }: Case): Inputs {
  const random = randomGenerator(seed);
  const normal = (length: number) => Float32Array.from({ length }, () => random() + random() + random() + random() - 2);
  return {
    q: normal(queries * heads * keyDim),
    k: normal(tokens * kvHeads * keyDim),
    v: normal(tokens * kvHeads * valueDim),
  };
}

const known = new Map<string, Float64Array>();

/** The reference of a case's own inputs, the same for every table. */
function wanted(options: Case): Float64Array {
  const key = JSON.stringify({ ...options, cacheType: undefined, blockTokens: undefined });
  const result = known.get(key) ?? reference(inputs(options), options);
  known.set(key, result);
  return result;
}

/** Softmax over the visible keys, from its definition, in float64. */
function reference({ q, k, v }: Inputs, options: Case): Float64Array {
  const { queries, tokens, heads, kvHeads, keyDim, valueDim = keyDim } = options;
  const { scale = 1 / Math.sqrt(keyDim), softcap = 0, window = 0, alibi } = options;
  const out = new Float64Array(queries * heads * valueDim);
  for (let i = 0; i < queries; i++)
    for (let h = 0; h < heads; h++) {
      const position = tokens - queries + i;
      const first = window > 0 ? Math.max(0, position - window + 1) : 0;
      const kv = Math.floor(h / (heads / kvHeads));
      const scores: number[] = [];
      for (let t = first; t <= position; t++) {
        let score = 0;
        for (let d = 0; d < keyDim; d++)
          score += (q[(i * heads + h) * keyDim + d] ?? 0) * (k[(t * kvHeads + kv) * keyDim + d] ?? 0);
        score *= scale;
        if (softcap > 0) score = softcap * tanh(score / softcap);
        scores.push(score + (alibi?.[h] ?? 0) * (t - position));
      }
      const top = max(...scores);
      const weights = scores.map((score) => exp(score - top));
      const sum = weights.reduce((total, weight) => total + weight, 0);
      weights.forEach((weight, at) => {
        for (let d = 0; d < valueDim; d++) {
          const index = (i * heads + h) * valueDim + d;
          out[index] = (out[index] ?? 0) + (weight / sum) * (v[((first + at) * kvHeads + kv) * valueDim + d] ?? 0);
        }
      });
    }
  return out;
}

function run(options: Case, more: Partial<AttentionOptions> = {}): Float32Array<ArrayBuffer> {
  const { q, k, v } = inputs(options);
  const rest = Object.entries(options).filter(([name]) => !['queries', 'tokens', 'seed'].includes(name));
  return attention(q, k, v, { ...(Object.fromEntries(rest) as unknown as AttentionOptions), ...more });
}

function distance(a: Float32Array, b: Float64Array): number {
  return a.reduce((worst, value, i) => max(worst, abs(value - (b[i] ?? NaN))), 0);
}

function bits(values: Float32Array<ArrayBuffer>): Buffer {
  return Buffer.from(values.buffer);
}

const shapes = {
  'one head': { heads: 1, kvHeads: 1, keyDim: 64 },
  'several heads': { heads: 4, kvHeads: 4, keyDim: 32 },
  'grouped queries': { heads: 8, kvHeads: 2, keyDim: 48 },
  'one key for all queries': { heads: 7, kvHeads: 1, keyDim: 80 },
  'values of another size, not whole vectors': { heads: 3, kvHeads: 1, keyDim: 20, valueDim: 37 },
} as const;
const lengths = [
  [1, 1],
  [5, 17],
  [3, 65],
  [33, 66],
  [2, 530],
] as const;
const alibiOf = (heads: number) => Float32Array.from({ length: heads }, (_, h) => 2 ** (-8 * ((h + 1) / heads)));

describe.each(tables)('%s', (isa) => {
  describe.each(Object.entries(shapes))('%s', (_, shape) => {
    const variants: [string, Partial<AttentionOptions>][] = [
      ['plain', {}],
      ['a window', { window: 21 }],
      ['a window across segments', { window: 300, blockTokens: 16 }],
      ['a cap on the scores', { softcap: 1.5, scale: 0.4 }],
      ['linear biases', { alibi: alibiOf(shape.heads), blockTokens: 32 }],
    ];
    test.each(variants)('%s', (__, variant) => {
      lengths.forEach(([queries, tokens], seed) => {
        const options = { ...shape, ...variant, queries, tokens, seed };
        expect(distance(run(options, { isa }), wanted(options))).toBeLessThan(4e-6);
      });
    });
  });

  // Half a step of the format, of keys (times a score's spread) and of values.
  const bounds: [CacheType, number][] = [
    ['f16', 2e-3],
    ['bf16', 1.6e-2],
    ['int8', 3e-2],
  ];
  test.each(bounds)('a cache of %s', (cacheType, bound) => {
    lengths.forEach(([queries, tokens], seed) => {
      const options = { ...shapes['grouped queries'], cacheType, queries, tokens, seed };
      const error = distance(run(options, { isa }), wanted(options));
      expect(error).toBeLessThan(bound);
      expect(error).toBeGreaterThan(0);
    });
  });

  const types = fc.constantFrom<CacheType>('f32', 'f16', 'bf16', 'int8');
  test('a query does not notice how the work is cut', () => {
    fc.assert(
      fc.property(
        types,
        fc.constantFrom(...Object.values(shapes)),
        fc.integer({ min: 1, max: 24 }),
        fc.integer({ min: 0, max: 400 }),
        fc.constantFrom(0, 1, 40, 270),
        fc.integer({ min: 1, max: 7 }),
        fc.constantFrom(16, 48, 64, 128),
        (cacheType, shape, queries, before, window, queriesPerTask, blockTokens) => {
          const options = { ...shape, cacheType, window, queries, tokens: before + queries, seed: before };
          const whole = bits(run(options, { isa }));
          const blockOrder = Int32Array.from(
            { length: Math.ceil(options.tokens / blockTokens) },
            (_, i, n = Math.ceil(options.tokens / blockTokens)) => n - 1 - i,
          );
          expect(bits(run(options, { isa, queriesPerTask })).equals(whole)).toBe(true);
          expect(bits(run(options, { isa, blockTokens, blockOrder })).equals(whole)).toBe(true);
          expect(bits(run(options, { isa, parts: queriesPerTask, queriesPerTask: 11 })).equals(whole)).toBe(true);
          if (isa !== 'scalar') expect(bits(run(options, { isa: 'scalar' })).equals(whole)).toBe(true);
        },
      ),
      { numRuns: isa === 'scalar' ? 10 : 30 },
    );
  });

  describe.each(['half', 'interleaved'] as const)(
    'keys in the cache are turned to other positions, style %s',
    (style) => {
      test.each([...bounds, ['f32', 4e-6] as const])('%s', (cacheType, bound) => {
        for (const [tokens, rotary] of [
          [1, 48],
          [37, 24],
          [150, 48],
        ] as const) {
          const options = { ...shapes['grouped queries'], queries: 1, tokens, seed: tokens };
          const { q, k, v } = inputs(options);
          const cosSin = Float32Array.from(
            Array.from({ length: rotary / 2 }, (_, i) => -64 * 10000 ** ((-2 * i) / rotary)).flatMap((angle) => [
              Math.cos(angle),
              Math.sin(angle),
            ]),
          );
          const turned = ropeHeads(k, 48, cosSin, style === 'interleaved', { isa });
          const keyRotation = { cosSin, style };
          const out = attention(q, k, v, {
            ...shapes['grouped queries'],
            cacheType,
            keyRotation,
            blockTokens: 32,
            isa,
          });
          // Rounded twice: before and after.
          expect(distance(out, reference({ q, k: turned, v }, options))).toBeLessThan(2 * bound);
        }
      });
    },
  );

  test('large scores do not overflow, and damaged keys are not hidden', () => {
    const options = { ...shapes['one head'], queries: 1, tokens: 300, seed: 1, scale: 1000 };
    const { q, k, v } = makeInputs(options);
    const out = attention(q, k, v, { ...shapes['one head'], scale: 1000, isa });
    expect(distance(out, reference({ q, k, v }, options))).toBeLessThan(1e-3);
    for (const cacheType of ['f32', 'f16', 'bf16', 'int8'] as const)
      for (const damaged of [k, v]) {
        const kept = damaged[290 * 64 + 5] ?? 0;
        damaged[290 * 64 + 5] = NaN;
        const values = attention(q, k, v, { ...shapes['one head'], cacheType, isa });
        expect(values.some((value) => Number.isNaN(value))).toBe(true);
        damaged[290 * 64 + 5] = kept;
      }
  });

  test('a later damaged token does not reach earlier queries', () => {
    const options = { ...shapes['grouped queries'], queries: 40, tokens: 90, seed: 3 };
    const { q, k, v } = makeInputs(options);
    const clean = attention(q, k, v, { ...shapes['grouped queries'], isa });
    v.fill(NaN, v.length - 96);
    k.fill(NaN, k.length - 96);
    const last = 8 * 48;
    const out = attention(q, k, v, { ...shapes['grouped queries'], isa });
    expect(out.subarray(0, -last)).toEqual(clean.subarray(0, -last));
    expect(out.subarray(-last).every((value) => Number.isNaN(value))).toBe(true);
  });

  test('int8 codes of zero and of tiny vectors', () => {
    const shape = { heads: 1, kvHeads: 1, keyDim: 16, cacheType: 'int8', isa } as const;
    const q = new Float32Array(16).fill(1);
    const k = new Float32Array(32);
    const v = Float32Array.from({ length: 32 }, (_, i) => (i < 16 ? 0 : 1e-40));
    expect(attention(q, k, v, shape).every((value) => Math.abs(value) <= 1e-39)).toBe(true);
  });
});

test('wrong sizes and options are refused', () => {
  const [q, k] = [new Float32Array(64), new Float32Array(128)];
  const shape = { heads: 2, kvHeads: 1, keyDim: 32 };
  expect(() => attention(q, k, k.subarray(1), shape)).toThrow(ShapeMismatchError);
  expect(() => attention(q.subarray(1), k, k, shape)).toThrow(InvalidArgumentError);
  expect(() => attention(q, k, k, { ...shape, kvHeads: 3 })).toThrow(InvalidArgumentError);
  expect(() => attention(q, k, k, { ...shape, blockTokens: 24 })).toThrow(InvalidArgumentError);
  expect(() => attention(q, k, k, { ...shape, blockOrder: Int32Array.of(1) })).toThrow(InvalidArgumentError);
  expect(() => attention(q, k, k, { ...shape, windw: 3 } as never)).toThrow(UnknownOptionError);
});
