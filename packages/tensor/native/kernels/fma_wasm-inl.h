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

template <int count>
LLM_INLINE void FmaEach(const v128_t* a, const v128_t* b, const v128_t* c, v128_t* result) {
  for (int i = 0; i < count; ++i) result[i] = Fma(a[i], b[i], c[i]);
}

#else

__attribute__((noinline)) v128_t FmaByLane(v128_t a, v128_t b, v128_t c) {
  float x[4], y[4], z[4];
  wasm_v128_store(x, a), wasm_v128_store(y, b), wasm_v128_store(z, c);
  for (int i = 0; i < 4; ++i) z[i] = std::fmaf(x[i], y[i], z[i]);
  return wasm_v128_load(z);
}

// a * b + c in float64, where the product is exact and the sum is rounded once, and that rounded to float32.
struct TwiceRounded {
  v128_t low, high;  // float64

  LLM_INLINE TwiceRounded(v128_t a, v128_t b, v128_t c)
      : low(Sum(wasm_f64x2_promote_low_f32x4(a), wasm_f64x2_promote_low_f32x4(b), wasm_f64x2_promote_low_f32x4(c))),
        high(Sum(Upper(a), Upper(b), Upper(c))) {}

  LLM_INLINE v128_t Result() const {
    return wasm_i32x4_shuffle(wasm_f32x4_demote_f64x2_zero(low), wasm_f32x4_demote_f64x2_zero(high), 0, 1, 4, 5);
  }

  // Lanes that may be wrong although the result is a normal number: the float64 number fell on the middle between two
  // float32 numbers, the 29 bits that go are 1 and zeros.
  LLM_INLINE v128_t Halfway() const {
    const v128_t lost = wasm_i64x2_const_splat(0x1FFFFFFF), middle = wasm_i64x2_const_splat(0x10000000);
    return wasm_v128_or(wasm_i64x2_eq(wasm_v128_and(low, lost), middle),
                        wasm_i64x2_eq(wasm_v128_and(high, lost), middle));
  }

 private:
  LLM_INLINE static v128_t Upper(v128_t v) {
    return wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(v, v, 2, 3, 2, 3));
  }
  LLM_INLINE static v128_t Sum(v128_t a, v128_t b, v128_t c) { return wasm_f64x2_add(wasm_f64x2_mul(a, b), c); }
};

// Results up to 2^-126 lose more bits, and are suspected too. With one suspect all are computed again, lane by lane.
template <int count>
LLM_INLINE void FmaEach(const v128_t* a, const v128_t* b, const v128_t* c, v128_t* result) {
  v128_t sums[count], halfway = wasm_i32x4_const_splat(0), least = wasm_i32x4_const_splat(0x7FFFFFFF);
  for (int i = 0; i < count; ++i) {
    const TwiceRounded sum(a[i], b[i], c[i]);
    sums[i] = sum.Result();
    halfway = wasm_v128_or(halfway, sum.Halfway());
    // As signed numbers 0 becomes the largest, and 1 to 0x800000, which is 2^-126, the smallest.
    const v128_t size = wasm_v128_and(sums[i], wasm_i32x4_const_splat(0x7FFFFFFF));
    least = wasm_i32x4_min(least, wasm_i32x4_add(size, wasm_i32x4_const_splat(0x7FFFFFFF)));
  }
  const v128_t tiny = wasm_i32x4_le(least, wasm_i32x4_const_splat(static_cast<int32_t>(0x807FFFFF)));
  const bool suspect = wasm_v128_any_true(wasm_v128_or(halfway, tiny));
  for (int i = 0; i < count; ++i) result[i] = __builtin_expect(suspect, 0) ? FmaByLane(a[i], b[i], c[i]) : sums[i];
}

LLM_INLINE v128_t Fma(v128_t a, v128_t b, v128_t c) {
  v128_t result;
  FmaEach<1>(&a, &b, &c, &result);
  return result;
}

#endif

// The same numbers as HalfToFloat of kernels/half.h.
LLM_INLINE v128_t HalvesToFloats(v128_t halves) {  // in the low half of each 32-bit lane, sign-extended
  const v128_t finite = wasm_f32x4_mul(wasm_v128_and(wasm_i32x4_shl(halves, 13), wasm_i32x4_const_splat(~0x70001FFF)),
                                       wasm_f32x4_const_splat(0x1p112f));
  // Infinity and NaN, by now at least 2^16, have the exponent that says so in fp16.
  const v128_t special = wasm_f32x4_ge(wasm_f32x4_abs(finite), wasm_f32x4_const_splat(0x1p16f));
  return wasm_v128_or(finite, wasm_v128_and(special, wasm_i32x4_const_splat(0x7F800000)));
}

}  // namespace
}  // namespace llm
