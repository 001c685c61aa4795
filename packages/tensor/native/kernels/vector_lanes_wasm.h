// The lanes of vector_lanes_scalar.h as four 128-bit vectors of WebAssembly.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/fma_wasm-inl.h"

namespace llm {
namespace {

struct Lanes {
  struct F {
    v128_t v[4];
  };
  using M = F;
  static constexpr int kTileRows = 2;
  static constexpr int kTileColumns = 1;

  template <typename Op>
  static LLM_INLINE F Each(Op op) {
    return {{op(0), op(1), op(2), op(3)}};
  }

  static LLM_INLINE F Set(float x) {
    const v128_t all = wasm_f32x4_splat(x);
    return {{all, all, all, all}};
  }
  static LLM_INLINE F Load(const float* p) {
    return Each([&](int i) { return wasm_v128_load(p + 4 * i); });
  }
  static LLM_INLINE F LoadPart(const float* p, int n, float fill) {
    float all[16];
    Store(all, Set(fill));
    std::memcpy(all, p, static_cast<size_t>(n) * sizeof(float));
    return Load(all);
  }
  static LLM_INLINE void Store(float* p, F a) {
    for (int i = 0; i < 4; ++i) wasm_v128_store(p + 4 * i, a.v[i]);
  }
  static LLM_INLINE void StorePart(float* p, int n, F a) {
    if (n == 16) return Store(p, a);
    float all[16];
    Store(all, a);
    std::memcpy(p, all, static_cast<size_t>(n) * sizeof(float));
  }
  static LLM_INLINE F Add(F a, F b) {
    return Each([&](int i) { return wasm_f32x4_add(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Sub(F a, F b) {
    return Each([&](int i) { return wasm_f32x4_sub(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Mul(F a, F b) {
    return Each([&](int i) { return wasm_f32x4_mul(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Div(F a, F b) {
    return Each([&](int i) { return wasm_f32x4_div(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Fma(F a, F b, F c) {
    F result;
    FmaEach<4>(a.v, b.v, c.v, result.v);
    return result;
  }
  // pmax and pmin give their first operand for NaN, here the second is wanted.
  static LLM_INLINE F Max(F a, F b) {
    return Each([&](int i) { return Larger(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Min(F a, F b) {
    return Each([&](int i) { return wasm_f32x4_pmin(b.v[i], a.v[i]); });
  }
  static LLM_INLINE F Abs(F a) {
    return Each([&](int i) { return wasm_f32x4_abs(a.v[i]); });
  }
  static LLM_INLINE F CopySign(F magnitude, F sign) {
    const v128_t bit = wasm_i32x4_const_splat(INT32_MIN);
    return Each([&](int i) { return wasm_v128_bitselect(sign.v[i], magnitude.v[i], bit); });
  }
  static LLM_INLINE F Round(F a) {
    return Each([&](int i) { return wasm_f32x4_nearest(a.v[i]); });
  }
  static LLM_INLINE F ScaleByPower(F a, F n) {
    return Each([&](int i) {
      const v128_t whole = wasm_i32x4_trunc_sat_f32x4(n.v[i]);
      const v128_t half = wasm_i32x4_shr(whole, 1);
      return wasm_f32x4_mul(wasm_f32x4_mul(a.v[i], Power(half)), Power(wasm_i32x4_sub(whole, half)));
    });
  }
  static LLM_INLINE M Less(F a, F b) {
    return Each([&](int i) { return wasm_f32x4_lt(a.v[i], b.v[i]); });
  }
  static LLM_INLINE M AtLeast(F a, F b) {
    return Each([&](int i) { return wasm_f32x4_ge(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Select(M m, F yes, F no) {
    return Each([&](int i) { return wasm_v128_bitselect(yes.v[i], no.v[i], m.v[i]); });
  }
  static LLM_INLINE uint32_t Bits(M m) {
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits |= wasm_i32x4_bitmask(m.v[i]) << (4 * i);
    return bits;
  }
  static LLM_INLINE F Iota() {
    return {{wasm_f32x4_const(0, 1, 2, 3), wasm_f32x4_const(4, 5, 6, 7), wasm_f32x4_const(8, 9, 10, 11),
             wasm_f32x4_const(12, 13, 14, 15)}};
  }
  static LLM_INLINE float ReduceAdd(F a) {
    const v128_t x = wasm_f32x4_add(wasm_f32x4_add(a.v[0], a.v[2]), wasm_f32x4_add(a.v[1], a.v[3]));
    const v128_t y = wasm_f32x4_add(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(y, 0) + wasm_f32x4_extract_lane(y, 1);
  }
  static LLM_INLINE float ReduceMax(F a) {
    const v128_t x = Larger(Larger(a.v[0], a.v[2]), Larger(a.v[1], a.v[3]));
    const v128_t y = Larger(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
    const float first = wasm_f32x4_extract_lane(y, 0), second = wasm_f32x4_extract_lane(y, 1);
    return first > second ? first : second;
  }
  static LLM_INLINE void Unzip(F a, F b, F* first, F* second) {
    const auto even = [](v128_t x, v128_t y) { return wasm_i32x4_shuffle(x, y, 0, 2, 4, 6); };
    const auto odd = [](v128_t x, v128_t y) { return wasm_i32x4_shuffle(x, y, 1, 3, 5, 7); };
    *first = {{even(a.v[0], a.v[1]), even(a.v[2], a.v[3]), even(b.v[0], b.v[1]), even(b.v[2], b.v[3])}};
    *second = {{odd(a.v[0], a.v[1]), odd(a.v[2], a.v[3]), odd(b.v[0], b.v[1]), odd(b.v[2], b.v[3])}};
  }
  static LLM_INLINE void Zip(F first, F second, F* a, F* b) {
    const auto low = [&](int i) { return wasm_i32x4_shuffle(first.v[i], second.v[i], 0, 4, 1, 5); };
    const auto high = [&](int i) { return wasm_i32x4_shuffle(first.v[i], second.v[i], 2, 6, 3, 7); };
    *a = {{low(0), high(0), low(1), high(1)}};
    *b = {{low(2), high(2), low(3), high(3)}};
  }

  static LLM_INLINE F LoadHalf(const uint16_t* p) {
    return Each([&](int i) { return HalvesToFloats(wasm_i32x4_load16x4(p + 4 * i)); });
  }
  static LLM_INLINE void StoreHalf(uint16_t* p, F a) {
    for (int i = 0; i < 4; ++i) StoreWords(p + 4 * i, FloatsToHalves(a.v[i]));
  }
  static LLM_INLINE F LoadBf16(const uint16_t* p) {
    return Each([&](int i) { return wasm_i32x4_shl(wasm_u32x4_load16x4(p + 4 * i), 16); });
  }
  static LLM_INLINE void StoreBf16(uint16_t* p, F a) {
    for (int i = 0; i < 4; ++i) {
      const v128_t high = wasm_u32x4_shr(a.v[i], 16);
      const v128_t odd = wasm_v128_and(high, wasm_i32x4_const_splat(1));
      const v128_t above = wasm_i32x4_add(wasm_i32x4_add(a.v[i], wasm_i32x4_const_splat(0x7FFF)), odd);
      const v128_t quiet = wasm_v128_or(high, wasm_i32x4_const_splat(0x40));
      const v128_t number = wasm_f32x4_eq(a.v[i], a.v[i]);
      StoreWords(p + 4 * i, wasm_v128_bitselect(wasm_u32x4_shr(above, 16), quiet, number));
    }
  }
  static LLM_INLINE F LoadInt8(const int8_t* p) {
    const v128_t low = wasm_i16x8_load8x8(p), high = wasm_i16x8_load8x8(p + 8);
    return {{wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(low)),
             wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(low)),
             wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(high)),
             wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(high))}};
  }
  static LLM_INLINE void StoreInt8(int8_t* p, F a) {
    const auto words = [&](int i) {
      return wasm_i16x8_narrow_i32x4(wasm_i32x4_trunc_sat_f32x4(a.v[i]), wasm_i32x4_trunc_sat_f32x4(a.v[i + 1]));
    };
    wasm_v128_store(p, wasm_i8x16_narrow_i16x8(words(0), words(2)));
  }

 private:
  static LLM_INLINE v128_t Larger(v128_t a, v128_t b) { return wasm_f32x4_pmax(b, a); }
  static LLM_INLINE v128_t Power(v128_t exponent) {
    return wasm_i32x4_shl(wasm_i32x4_add(exponent, wasm_i32x4_const_splat(127)), 23);
  }
  // The low halves of 32-bit lanes.
  static LLM_INLINE void StoreWords(uint16_t* p, v128_t lanes) {
    wasm_v128_store64_lane(p, wasm_i16x8_shuffle(lanes, lanes, 0, 2, 4, 6, 0, 2, 4, 6), 0);
  }
  // As FloatToHalf of kernels/half.h.
  static LLM_INLINE v128_t FloatsToHalves(v128_t floats) {
    const v128_t magnitude = wasm_v128_and(floats, wasm_i32x4_const_splat(0x7FFFFFFF));
    const v128_t odd = wasm_v128_and(wasm_u32x4_shr(magnitude, 13), wasm_i32x4_const_splat(1));
    const v128_t half_step = wasm_i32x4_add(odd, wasm_i32x4_const_splat(0x0FFF - 0x38000000));
    const v128_t normal = wasm_u32x4_shr(wasm_i32x4_add(magnitude, half_step), 13);
    const v128_t half = wasm_f32x4_const_splat(0.5f);
    const v128_t subnormal = wasm_i32x4_sub(wasm_f32x4_add(magnitude, half), half);
    const auto choose = [&](v128_t yes, v128_t no, int32_t from) {
      return wasm_v128_bitselect(yes, no, wasm_i32x4_ge(magnitude, wasm_i32x4_splat(from)));
    };
    v128_t halves = choose(normal, subnormal, 0x38800000);
    halves = choose(wasm_i32x4_const_splat(0x7C00), halves, 0x477FF000);
    halves = choose(wasm_i32x4_const_splat(0x7E00), halves, 0x7F800001);
    return wasm_v128_or(halves, wasm_v128_and(wasm_u32x4_shr(floats, 16), wasm_i32x4_const_splat(0x8000)));
  }
};

}  // namespace
}  // namespace llm
