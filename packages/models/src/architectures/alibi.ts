/**
 * Slopes of linear attention biases (Press et al. 2021): a geometric sequence 2^(-bias i / n) over n heads.
 *
 * @param heads a power of two, or fewer than the next one, whose sequence is then read odd places first
 * @param maximum the last head's exponent; 8 in the paper
 */
export function alibiSlopes(heads: number, maximum = 8): number[] {
  const next = 2 ** Math.ceil(Math.log2(heads));
  const slopes = Array.from({ length: next }, (_, i) => 2 ** (-(maximum * (i + 1)) / next));
  if (next === heads) return slopes;
  return [...slopes.filter((_, i) => i % 2 === 1), ...slopes.filter((_, i) => i % 2 === 0)].slice(0, heads);
}
