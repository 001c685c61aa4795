// a * b + c, rounded once, in four lanes of a WebAssembly vector.
#pragma once

#include <wasm_simd128.h>

#include <cmath>

#include "kernels/inline.h"

namespace llm {
namespace {

#if defined(__wasm_relaxed_simd__)

// The engine may round twice: such a one does not get this table (targets/wasm_relaxed_features.cc).
LLM_INLINE v128_t Fma(v128_t a, v128_t b, v128_t c) { return wasm_f32x4_relaxed_madd(a, b, c); }

#else

__attribute__((noinline)) v128_t FmaByLane(v128_t a, v128_t b, v128_t c) {
  float x[4], y[4], z[4];
  wasm_v128_store(x, a), wasm_v128_store(y, b), wasm_v128_store(z, c);
  for (int i = 0; i < 4; ++i) z[i] = std::fmaf(x[i], y[i], z[i]);
  return wasm_v128_load(z);
}

// In float64, where the product is exact and the sum is rounded once. Rounding that to float32 goes wrong only if it
// fell on the middle between two float32 numbers: the 29 bits that go are 1 and zeros. Results up to 2^-126 lose more
// bits, and get the same suspicion. The suspects are computed again, lane by lane.
LLM_INLINE v128_t Fma(v128_t a, v128_t b, v128_t c) {
  const auto upper = [](v128_t v) { return wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(v, v, 2, 3, 2, 3)); };
  const v128_t low = wasm_f64x2_add(wasm_f64x2_mul(wasm_f64x2_promote_low_f32x4(a), wasm_f64x2_promote_low_f32x4(b)),
                                    wasm_f64x2_promote_low_f32x4(c));
  const v128_t high = wasm_f64x2_add(wasm_f64x2_mul(upper(a), upper(b)), upper(c));
  const v128_t result =
      wasm_i32x4_shuffle(wasm_f32x4_demote_f64x2_zero(low), wasm_f32x4_demote_f64x2_zero(high), 0, 1, 4, 5);

  const v128_t lost = wasm_i64x2_const_splat(0x1FFFFFFF), middle = wasm_i64x2_const_splat(0x10000000);
  const v128_t halfway =
      wasm_v128_or(wasm_i64x2_eq(wasm_v128_and(low, lost), middle), wasm_i64x2_eq(wasm_v128_and(high, lost), middle));
  // As signed numbers 0 becomes the largest, and 1 to 0x800000, which is 2^-126, the smallest.
  const v128_t size =
      wasm_i32x4_add(wasm_v128_and(result, wasm_i32x4_const_splat(0x7FFFFFFF)), wasm_i32x4_const_splat(0x7FFFFFFF));
  const v128_t tiny = wasm_i32x4_le(size, wasm_i32x4_const_splat(static_cast<int32_t>(0x807FFFFF)));
  if (__builtin_expect(wasm_v128_any_true(wasm_v128_or(halfway, tiny)), 0)) return FmaByLane(a, b, c);
  return result;
}

#endif

// The same numbers as HalfToFloat of kernels/half.h.
LLM_INLINE v128_t HalvesToFloats(v128_t halves) {  // in the low half of each 32-bit lane
  const v128_t magnitude = wasm_v128_and(halves, wasm_i32x4_const_splat(0x7FFF));
  const v128_t shifted = wasm_i32x4_shl(magnitude, 13);
  const v128_t finite = wasm_f32x4_mul(shifted, wasm_f32x4_const_splat(0x1p112f));
  const v128_t special = wasm_i32x4_add(shifted, wasm_i32x4_const_splat(0x70000000));
  const v128_t is_special = wasm_i32x4_gt(magnitude, wasm_i32x4_const_splat(0x7BFF));
  const v128_t sign = wasm_i32x4_shl(wasm_v128_and(halves, wasm_i32x4_const_splat(0x8000)), 16);
  return wasm_v128_or(sign, wasm_v128_bitselect(special, finite, is_special));
}

}  // namespace
}  // namespace llm
