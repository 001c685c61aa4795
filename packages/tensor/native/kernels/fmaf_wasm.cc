// WebAssembly has no fused multiply-add before relaxed SIMD, and that of the C library rounds results below 2^-126
// twice. This one takes its place, in the scalar table too: every table gives the same bits.
#include "kernels/round_to_odd.h"

extern "C" float fmaf(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);  // exact: 48 bits of 53
  return static_cast<float>(llm::SumToOdd(product, static_cast<double>(c)));
}
