// WebAssembly has no fused multiply-add before relaxed SIMD, and that of the C library rounds results below 2^-126
// twice. This one takes its place, in the scalar table too: every table gives the same bits.
#include <bit>
#include <cstdint>

extern "C" float fmaf(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);  // exact: 48 bits of 53
  const double sum = product + static_cast<double>(c);
  if (sum - sum != 0) return static_cast<float>(sum);  // infinite or NaN
  // Rounding to odd what was rounded before makes the second rounding the only one: Boldo and Melquiond, "Emulation of
  // a FMA and correctly rounded sums", 2008.
  const double from_c = sum - product;
  const double error = (product - (sum - from_c)) + (static_cast<double>(c) - from_c);
  uint64_t bits = std::bit_cast<uint64_t>(sum);
  if (error != 0 && (bits & 1) == 0) bits += (error > 0) == (sum > 0) ? 1 : -1;
  return static_cast<float>(std::bit_cast<double>(bits));
}
