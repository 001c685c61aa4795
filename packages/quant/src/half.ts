const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

// Held here, because a look-up of a global costs much in the sandboxes of test runners.
export const fround: (x: number) => number = Math.fround;

/** The largest finite number of IEEE 754 half precision. */
export const HALF_MAX = 65504;

/** The smallest positive (subnormal) number of half precision. */
export const HALF_MIN: number = 2 ** -24;

/** `x + ROUND - ROUND` is `x` rounded to an integer, ties to even, for |x| < 2^51. */
export const ROUND: number = 1.5 * 2 ** 52;

/** The half-precision number nearest to `x`, ties to even; infinite where `x` is out of range. */
export function roundToHalf(x: number): number {
  float[0] = x;
  const magnitude = Math.abs(float[0]);
  // Subnormal halves are the multiples of 2^-24; adding and subtracting 1.5 * 2^52 rounds to an integer, ties to even.
  if (magnitude < 2 ** -14) return (float[0] / HALF_MIN + ROUND - ROUND) * HALF_MIN;
  if (magnitude >= 65520) return Number.isNaN(x) ? NaN : Math.sign(x) * Infinity;
  const u = bits[0] ?? 0;
  bits[0] = (u + 0xfff + ((u >>> 13) & 1)) & ~0x1fff;
  return float[0];
}
