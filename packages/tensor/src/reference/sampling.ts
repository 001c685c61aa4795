import type { SampleOptions } from '../sampling.ts';

/** A token and its share of the final distribution. */
export interface Share {
  readonly token: number;
  readonly probability: number;
}

/**
 * The distribution that sampleToken() draws from, tokens in order of their ids; for temperature 0, the likeliest token.
 * Plain float64, from the definitions; the native sampler is tested against it.
 */
export function distribution(logits: Float32Array, options: SampleOptions = {}): Share[] {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
  const adjusted = adjust(logits, options);
  const ranked = adjusted
    .map((logit, token) => ({ logit, token }))
    .filter(({ logit }) => logit > -Infinity)
    .sort((a, b) => b.logit - a.logit || a.token - b.token);
  const top = ranked[0];
  if (top === undefined) return [];
  if (temperature === 0) return [{ token: top.token, probability: 1 }];

  let left = ranked.map(({ logit, token }) => ({ token, weight: Math.exp((logit - top.logit) / temperature) }));
  if (topK > 0) left = left.slice(0, topK);
  if (topP < 1) {
    const enough = topP * sum(left);
    let passed = 0;
    left = left.filter(({ weight }, rank) => {
      const wanted = rank === 0 || passed < enough;
      passed += weight;
      return wanted;
    });
  }
  left = left.filter(({ weight }) => weight >= minP);
  const total = sum(left);
  return left.map(({ token, weight }) => ({ token, probability: weight / total })).sort((a, b) => a.token - b.token);
}

/** The token that the seed's random number number `draw` picks from a distribution. */
export function pick(shares: readonly Share[], seed: bigint, draw: number): number {
  const target = uniformRandom(seed, draw);
  let passed = 0;
  for (const { token, probability } of shares) {
    passed += probability;
    if (passed > target) return token;
  }
  return shares.at(-1)?.token ?? -1;
}

/** Uniform in [0, 1): SplitMix64 of the seed, its state counted up by draws. (Steele, Lea, Flood, 2014.) */
export function uniformRandom(seed: bigint, draw: number): number {
  const wrap = (value: bigint) => BigInt.asUintN(64, value);
  let z = wrap(seed + (BigInt(draw) + 1n) * 0x9e3779b97f4a7c15n);
  z = wrap((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = wrap((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  z ^= z >> 31n;
  return Number(z >> 11n) / 2 ** 53;
}

/** Natural log-probabilities of the logits as they are. */
export function logSoftmax(logits: Float32Array): number[] {
  const top = Math.max(...logits);
  const total = logits.reduce((all, logit) => all + Math.exp(logit - top), 0);
  return Array.from(logits, (logit) => logit - top - Math.log(total));
}

function adjust(logits: Float32Array, options: SampleOptions): number[] {
  const { history = new Int32Array(0), promptTokens = history.length } = options;
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, logitBias, allowed } = options;
  const generated = history.subarray(promptTokens);
  return Array.from(logits, (logit, token) => {
    let value = logit + (logitBias?.get(token) ?? 0);
    if (history.includes(token)) value = value > 0 ? value / repetitionPenalty : value * repetitionPenalty;
    const count = generated.filter((other) => other === token).length;
    if (count > 0) value -= presencePenalty + frequencyPenalty * count;
    const word = allowed?.[token >> 5] ?? 0xffffffff;
    return ((word >>> (token & 31)) & 1) === 1 ? value : -Infinity;
  });
}

function sum(weighted: readonly { readonly weight: number }[]): number {
  return weighted.reduce((total, { weight }) => total + weight, 0);
}
