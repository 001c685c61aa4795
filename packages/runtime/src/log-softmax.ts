/** log of the probability that softmax gives to entry `index` of some logits, summed in double precision. */
export function logProbability(logits: Float32Array, index: number): number {
  let peak = -Infinity;
  for (const logit of logits) if (logit > peak) peak = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - peak);
  return (logits[index] ?? NaN) - peak - Math.log(sum);
}

/** The index of the largest logit; the first one of several. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let peak = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i] ?? -Infinity;
    if (logit > peak) [best, peak] = [i, logit];
  }
  return best;
}
