import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cpuInfo } from './cpu.ts';
import { InvalidArgumentError, ShapeMismatchError, UnknownOptionError } from './errors.ts';
import { NonFiniteLogitsError, NothingAllowedError } from './program-errors.ts';
import { distribution, logSoftmax, pick } from './reference/sampling.ts';
import { sampleToken, type SampleOptions } from './sampling.ts';
import { randomGenerator } from './testing/random-matrix.ts';

function randomLogits(length: number, seed: number, spread = 3): Float32Array<ArrayBuffer> {
  const random = randomGenerator(seed);
  return Float32Array.from({ length }, () => (random() + random() + random() - 1.5) * 2 * spread);
}

const settings: [string, SampleOptions][] = [
  ['the softmax itself', {}],
  ['a low temperature', { temperature: 0.5 }],
  ['a high temperature', { temperature: 3 }],
  ['top-k', { topK: 4 }],
  ['top-p', { topP: 0.7 }],
  ['min-p', { minP: 0.2 }],
  ['all of them', { temperature: 1.4, topK: 9, topP: 0.9, minP: 0.05 }],
  [
    'penalties and biases',
    {
      history: Int32Array.of(1, 3, 3, 5, 5, 5, 7),
      promptTokens: 2,
      repetitionPenalty: 1.3,
      presencePenalty: 0.4,
      frequencyPenalty: 0.3,
      logitBias: new Map([
        [2, 1.5],
        [4, -100],
      ]),
    },
  ],
  ['a mask', { allowed: Uint32Array.of(0b1010_1010_1010) }],
];

// The 99.99 per cent quantile of chi-squared, by Wilson and Hilferty's approximation.
function chiSquaredLimit(freedom: number): number {
  const z = 3.719;
  return freedom * (1 - 2 / (9 * freedom) + z * Math.sqrt(2 / (9 * freedom))) ** 3;
}

test.each(settings)('draws follow the distribution: %s', (_, options) => {
  const logits = randomLogits(13, 5, 1.5);
  const shares = distribution(logits, options);
  const counts = new Map<number, number>();
  const draws = 8_000;
  for (let draw = 0; draw < draws; draw++) {
    const { token } = sampleToken(logits, { ...options, seed: 99n, draw });
    counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  const possible = new Set(shares.map(({ token }) => token));
  expect([...counts.keys()].filter((token) => !possible.has(token))).toEqual([]);
  const expected = shares.filter(({ probability }) => probability * draws >= 5);
  const chiSquared = expected.reduce(
    (sum, { token, probability }) =>
      sum + ((counts.get(token) ?? 0) - probability * draws) ** 2 / (probability * draws),
    0,
  );
  expect(expected.length).toBeGreaterThan(1);
  expect(chiSquared).toBeLessThan(chiSquaredLimit(expected.length - 1));
});

test('choices are those of the reference, seed by seed', () => {
  const options = fc.record(
    {
      temperature: fc.constantFrom(0, 0.2, 0.8, 1, 2.5),
      topK: fc.constantFrom(0, 1, 2, 40, 5000),
      topP: fc.constantFrom(1, 0.95, 0.5, 0.01),
      minP: fc.constantFrom(0, 0.02, 0.5),
      repetitionPenalty: fc.constantFrom(1, 1.2, 0.8),
      presencePenalty: fc.constantFrom(0, 0.5),
      frequencyPenalty: fc.constantFrom(0, 0.25),
      history: fc.constantFrom(new Int32Array(0), Int32Array.of(0, 1, 1, 2, 999999, -4)),
      promptTokens: fc.constantFrom(0, 2),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      options,
      fc.constantFrom(1, 7, 33, 1000, 5000),
      fc.constantFrom(0.01, 2, 8, 200),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      (sampling, vocabulary, spread, seed) => {
        const logits = randomLogits(vocabulary, Number(seed % 1000n), spread);
        const shares = distribution(logits, sampling);
        for (let draw = 0; draw < 4; draw++)
          expect(sampleToken(logits, { ...sampling, seed, draw }).token).toBe(pick(shares, seed, draw));
      },
    ),
    { numRuns: 120 },
  );
});

test('a vocabulary of real size', () => {
  const logits = randomLogits(70_001, 3, 4);
  const settled: SampleOptions[] = [
    {},
    { topK: 40 },
    { topP: 0.9 },
    { topP: 0.999 },
    { minP: 0.1 },
    { temperature: 0 },
  ];
  for (const options of settled) {
    const shares = distribution(logits, options);
    for (let draw = 0; draw < 5; draw++)
      expect(sampleToken(logits, { ...options, seed: 7, draw }).token).toBe(pick(shares, 7n, draw));
  }
});

test('equal logits rank by token id', () => {
  const logits = new Float32Array(500).fill(2);
  expect(sampleToken(logits, { temperature: 0 }).token).toBe(0);
  for (let draw = 0; draw < 50; draw++) expect(sampleToken(logits, { topK: 3, draw }).token).toBeLessThan(3);
});

describe('log-probabilities', () => {
  test('are of the model itself, whatever the options do', () => {
    const logits = randomLogits(100, 11);
    const exact = logSoftmax(logits);
    for (const options of settings.map(([, more]) => more).filter(({ allowed }) => allowed === undefined)) {
      const { token, logProbability, top } = sampleToken(logits, { ...options, seed: 5, topLogProbabilities: 4 });
      expect(logProbability).toBeCloseTo(exact[token] ?? NaN, 5);
      const best = [...exact.entries()].sort((a, b) => b[1] - a[1]).slice(0, 4);
      expect(top.map((entry) => entry.token)).toEqual(best.map(([id]) => id));
      top.forEach((entry, rank) => {
        expect(entry.logProbability).toBeCloseTo(best[rank]?.[1] ?? NaN, 5);
      });
    }
  });

  test('asking for more than there are gives all', () => {
    expect(sampleToken(randomLogits(3, 1), { topLogProbabilities: 10 }).top).toHaveLength(3);
  });
});

test('the logits are not changed', () => {
  const logits = randomLogits(20, 2);
  const before = Float32Array.from(logits);
  sampleToken(logits, { logitBias: new Map([[1, 5]]), allowed: Uint32Array.of(0xff) });
  expect(logits).toEqual(before);
});

test('every table chooses the same', () => {
  const logits = randomLogits(3001, 8);
  for (const { isa, runnable } of cpuInfo().tables)
    for (let draw = 0; runnable && draw < 20; draw++)
      expect(sampleToken(logits, { isa, draw, topP: 0.9 })).toEqual(
        sampleToken(logits, { isa: 'scalar', draw, topP: 0.9 }),
      );
});

test('logits that are not finite, and masks that leave nothing, are typed errors', () => {
  for (const bad of [NaN, Infinity, -Infinity])
    for (const at of [0, 15, 16, 99]) {
      const logits = randomLogits(100, 4);
      logits[at] = bad;
      expect(() => sampleToken(logits)).toThrow(NonFiniteLogitsError);
    }
  expect(() => sampleToken(randomLogits(40, 4), { allowed: new Uint32Array(2) })).toThrow(NothingAllowedError);
  const biases = new Map(Array.from({ length: 40 }, (_, token) => [token, -Infinity]));
  expect(() => sampleToken(randomLogits(40, 4), { logitBias: biases })).toThrow(NothingAllowedError);
});

test('bad options are refused', () => {
  const logits = randomLogits(40, 4);
  expect(() => sampleToken(logits, { allowed: new Uint32Array(1) })).toThrow(ShapeMismatchError);
  expect(() => sampleToken(logits, { topP: 2 })).toThrow(InvalidArgumentError);
  expect(() => sampleToken(logits, { temperature: NaN })).toThrow(InvalidArgumentError);
  expect(() => sampleToken(new Float32Array(0))).toThrow(InvalidArgumentError);
  expect(() => sampleToken(logits, { topk: 3 } as never)).toThrow(UnknownOptionError);
});
