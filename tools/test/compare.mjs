// How tests compare a model's logits with those computed elsewhere.

/** Largest difference over the largest expected magnitude; NaN where the lengths differ. */
export function relativeError(found, expected) {
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs(found[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return found.length === expected.length ? worst / largest : NaN;
}

/** The likeliest token after each position of logits [positions, vocabulary]. */
export function likeliest(logits, vocabularySize) {
  return Array.from({ length: logits.length / vocabularySize }, (_, position) => {
    const row = logits.subarray(position * vocabularySize, (position + 1) * vocabularySize);
    return row.indexOf(row.reduce((best, value) => Math.max(best, value), -Infinity));
  });
}
