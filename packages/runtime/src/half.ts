const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** 1.5 * 2^52: adding and taking it off rounds a small double to an integer, ties to even. */
const rounder = 1.5 * 2 ** 52;

/** The nearest number of IEEE 754 half precision, ties to even; infinite out of range. */
export function roundToHalf(x: number): number {
  const magnitude = Math.abs(x);
  // Below the normal halves, the multiples of 2^-24.
  if (magnitude < 2 ** -14) return (x * 2 ** 24 + rounder - rounder) * 2 ** -24;
  if (magnitude >= 65520) return Number.isNaN(x) ? NaN : Math.sign(x) * Infinity;
  float[0] = x;
  const u = bits[0] ?? 0;
  bits[0] = (u + 0xfff + ((u >>> 13) & 1)) & ~0x1fff;
  return float[0];
}
