/** log of the sum of exponentials, and the first of the largest. */
export function normalizer(logits: Float32Array): { log: number; likeliest: number } {
  let likeliest = 0;
  let largest = -Infinity;
  // Plain loops: a callback per logit takes several times as long, and a vocabulary is long.
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!;
    if (logit > largest) [likeliest, largest] = [i, logit];
  }
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - largest);
  return { log: largest + Math.log(sum), likeliest };
}
