// Sixteen lanes of float32 in plain C++: the reference for the other vector_lanes_*.h, which do the same operations in
// the same order on vector registers. Everything here has internal linkage, as every instruction set compiles its own.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/half.h"
#include "kernels/inline.h"

namespace llm {
namespace {

struct Lanes {
  struct F {
    float v[16];
  };
  struct M {
    bool v[16];
  };
  static constexpr int kTileRows = 2;     // rows of attention computed together
  static constexpr int kTileColumns = 2;  // vectors of 16 keys or values beside each other

  template <typename Op>
  static LLM_INLINE F Each(Op op) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = op(i);
    return r;
  }
  template <typename Op>
  static LLM_INLINE M Test(Op op) {
    M r;
    for (int i = 0; i < 16; ++i) r.v[i] = op(i);
    return r;
  }

  static LLM_INLINE F Set(float x) {
    return Each([&](int) { return x; });
  }
  static LLM_INLINE F Load(const float* p) {
    return Each([&](int i) { return p[i]; });
  }
  // The first n, 0 to 16; the others are `fill`.
  static LLM_INLINE F LoadPart(const float* p, int n, float fill) {
    return Each([&](int i) { return i < n ? p[i] : fill; });
  }
  static LLM_INLINE void Store(float* p, F a) { std::memcpy(p, a.v, sizeof a.v); }
  static LLM_INLINE void StorePart(float* p, int n, F a) {
    for (int i = 0; i < n; ++i) p[i] = a.v[i];
  }
  static LLM_INLINE F Add(F a, F b) {
    return Each([&](int i) { return a.v[i] + b.v[i]; });
  }
  static LLM_INLINE F Sub(F a, F b) {
    return Each([&](int i) { return a.v[i] - b.v[i]; });
  }
  static LLM_INLINE F Mul(F a, F b) {
    return Each([&](int i) { return a.v[i] * b.v[i]; });
  }
  static LLM_INLINE F Div(F a, F b) {
    return Each([&](int i) { return a.v[i] / b.v[i]; });
  }
  // a * b + c, rounded once
  static LLM_INLINE F Fma(F a, F b, F c) {
    return Each([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
  }
  // The second operand if either is NaN, as the instructions of x86 do.
  static LLM_INLINE F Max(F a, F b) {
    return Each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static LLM_INLINE F Min(F a, F b) {
    return Each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static LLM_INLINE F Abs(F a) {
    return Each([&](int i) { return __builtin_fabsf(a.v[i]); });
  }
  static LLM_INLINE F CopySign(F magnitude, F sign) {
    return Each([&](int i) { return __builtin_copysignf(magnitude.v[i], sign.v[i]); });
  }
  // To the nearest integer, ties to even; |a| < 2^22. Adding 1.5 * 2^23 leaves no bits for a fraction.
  static LLM_INLINE F Round(F a) {
    return Each([&](int i) {
      volatile float shifted = a.v[i] + 12582912.0f;
      return shifted - 12582912.0f;
    });
  }
  // a * 2^n for whole n from -252 to 252, rounded once where the result is not normal.
  static LLM_INLINE F ScaleByPower(F a, F n) {
    return Each([&](int i) {
      const int32_t whole = n.v[i] == n.v[i] ? static_cast<int32_t>(n.v[i]) : 0;
      const int32_t half = whole >> 1;
      return a.v[i] * Power(half) * Power(whole - half);
    });
  }
  static LLM_INLINE M Less(F a, F b) {
    return Test([&](int i) { return a.v[i] < b.v[i]; });
  }
  static LLM_INLINE M AtLeast(F a, F b) {
    return Test([&](int i) { return a.v[i] >= b.v[i]; });
  }
  static LLM_INLINE F Select(M m, F yes, F no) {
    return Each([&](int i) { return m.v[i] ? yes.v[i] : no.v[i]; });
  }
  static LLM_INLINE uint32_t Bits(M m) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(m.v[i]) << i;
    return bits;
  }
  static LLM_INLINE F Iota() {
    return Each([&](int i) { return static_cast<float>(i); });
  }
  // Lane i with lane i + 8, then i + 4, i + 2, i + 1.
  static LLM_INLINE float ReduceAdd(F a) {
    for (int width = 8; width > 0; width /= 2)
      for (int i = 0; i < width; ++i) a.v[i] = a.v[i] + a.v[i + width];
    return a.v[0];
  }
  static LLM_INLINE float ReduceMax(F a) {
    for (int width = 8; width > 0; width /= 2)
      for (int i = 0; i < width; ++i) a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width];
    return a.v[0];
  }
  // (a, b) as 16 pairs -> the first and the second of each
  static LLM_INLINE void Unzip(F a, F b, F* first, F* second) {
    *first = Each([&](int i) { return i < 8 ? a.v[2 * i] : b.v[2 * i - 16]; });
    *second = Each([&](int i) { return i < 8 ? a.v[2 * i + 1] : b.v[2 * i - 15]; });
  }
  static LLM_INLINE void Zip(F first, F second, F* a, F* b) {
    *a = Each([&](int i) { return i % 2 == 0 ? first.v[i / 2] : second.v[i / 2]; });
    *b = Each([&](int i) { return i % 2 == 0 ? first.v[8 + i / 2] : second.v[8 + i / 2]; });
  }

  static LLM_INLINE F LoadHalf(const uint16_t* p) {
    return Each([&](int i) { return HalfToFloat(p[i]); });
  }
  static LLM_INLINE void StoreHalf(uint16_t* p, F a) {  // to the nearest, ties to even
    for (int i = 0; i < 16; ++i) p[i] = FloatToHalf(a.v[i]);
  }
  static LLM_INLINE F LoadBf16(const uint16_t* p) {
    return Each([&](int i) { return Bf16ToFloat(p[i]); });
  }
  static LLM_INLINE void StoreBf16(uint16_t* p, F a) {  // to the nearest, ties to even; NaN stays NaN
    for (int i = 0; i < 16; ++i) p[i] = FloatToBf16(a.v[i]);
  }
  static LLM_INLINE F LoadInt8(const int8_t* p) {
    return Each([&](int i) { return static_cast<float>(p[i]); });
  }
  static LLM_INLINE void StoreInt8(int8_t* p, F a) {  // whole numbers from -127 to 127
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
  }

  static LLM_INLINE float Power(int32_t exponent) { return FloatOfBits(static_cast<uint32_t>(exponent + 127) << 23); }
};

}  // namespace
}  // namespace llm
