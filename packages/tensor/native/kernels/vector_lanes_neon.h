// The lanes of vector_lanes_scalar.h as four 128-bit registers.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "kernels/inline.h"

namespace llm {
namespace {

struct Lanes {
  struct F {
    float32x4_t v[4];
  };
  struct M {
    uint32x4_t v[4];
  };
  static constexpr int kTileRows = 5;
  static constexpr int kTileColumns = 1;

  template <typename Op>
  static LLM_INLINE F Each(Op op) {
    return {{op(0), op(1), op(2), op(3)}};
  }

  static LLM_INLINE F Set(float x) {
    const float32x4_t all = vdupq_n_f32(x);
    return {{all, all, all, all}};
  }
  static LLM_INLINE F Load(const float* p) {
    return Each([&](int i) { return vld1q_f32(p + 4 * i); });
  }
  static LLM_INLINE F LoadPart(const float* p, int n, float fill) {
    float all[16];
    Store(all, Set(fill));
    std::memcpy(all, p, static_cast<size_t>(n) * sizeof(float));
    return Load(all);
  }
  static LLM_INLINE void Store(float* p, F a) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
  }
  static LLM_INLINE void StorePart(float* p, int n, F a) {
    if (n == 16) return Store(p, a);
    float all[16];
    Store(all, a);
    std::memcpy(p, all, static_cast<size_t>(n) * sizeof(float));
  }
  static LLM_INLINE F Add(F a, F b) {
    return Each([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Sub(F a, F b) {
    return Each([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Mul(F a, F b) {
    return Each([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Div(F a, F b) {
    return Each([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Fma(F a, F b, F c) {
    return Each([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
  }
  // Not vmaxq_f32 and vminq_f32, which give NaN for either operand.
  static LLM_INLINE F Max(F a, F b) {
    return Each([&](int i) { return Larger(a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Min(F a, F b) {
    return Each([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
  }
  static LLM_INLINE F Abs(F a) {
    return Each([&](int i) { return vabsq_f32(a.v[i]); });
  }
  static LLM_INLINE F CopySign(F magnitude, F sign) {
    const uint32x4_t bit = vdupq_n_u32(0x80000000);
    return Each([&](int i) { return vbslq_f32(bit, sign.v[i], magnitude.v[i]); });
  }
  static LLM_INLINE F Round(F a) {
    return Each([&](int i) { return vrndnq_f32(a.v[i]); });
  }
  static LLM_INLINE F ScaleByPower(F a, F n) {
    return Each([&](int i) {
      const int32x4_t whole = vcvtq_s32_f32(n.v[i]);
      const int32x4_t half = vshrq_n_s32(whole, 1);
      return vmulq_f32(vmulq_f32(a.v[i], Power(half)), Power(vsubq_s32(whole, half)));
    });
  }
  static LLM_INLINE M Less(F a, F b) {
    return {
        {vcltq_f32(a.v[0], b.v[0]), vcltq_f32(a.v[1], b.v[1]), vcltq_f32(a.v[2], b.v[2]), vcltq_f32(a.v[3], b.v[3])}};
  }
  static LLM_INLINE M AtLeast(F a, F b) {
    return {
        {vcgeq_f32(a.v[0], b.v[0]), vcgeq_f32(a.v[1], b.v[1]), vcgeq_f32(a.v[2], b.v[2]), vcgeq_f32(a.v[3], b.v[3])}};
  }
  static LLM_INLINE F Select(M m, F yes, F no) {
    return Each([&](int i) { return vbslq_f32(m.v[i], yes.v[i], no.v[i]); });
  }
  static LLM_INLINE uint32_t Bits(M m) {
    const uint32_t places[4] = {1, 2, 4, 8};
    const uint32x4_t bit = vld1q_u32(places);
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits |= vaddvq_u32(vandq_u32(m.v[i], bit)) << (4 * i);
    return bits;
  }
  static LLM_INLINE F Iota() {
    const float all[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return Load(all);
  }
  static LLM_INLINE float ReduceAdd(F a) {
    const float32x4_t x = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
  }
  static LLM_INLINE float ReduceMax(F a) {
    const float32x4_t x = Larger(Larger(a.v[0], a.v[2]), Larger(a.v[1], a.v[3]));
    const float32x4_t y = Larger(x, vextq_f32(x, x, 2));
    const float first = vgetq_lane_f32(y, 0), second = vgetq_lane_f32(y, 1);
    return first > second ? first : second;
  }
  static LLM_INLINE void Unzip(F a, F b, F* first, F* second) {
    *first = {{vuzp1q_f32(a.v[0], a.v[1]), vuzp1q_f32(a.v[2], a.v[3]), vuzp1q_f32(b.v[0], b.v[1]),
               vuzp1q_f32(b.v[2], b.v[3])}};
    *second = {{vuzp2q_f32(a.v[0], a.v[1]), vuzp2q_f32(a.v[2], a.v[3]), vuzp2q_f32(b.v[0], b.v[1]),
                vuzp2q_f32(b.v[2], b.v[3])}};
  }
  static LLM_INLINE void Zip(F first, F second, F* a, F* b) {
    *a = {{vzip1q_f32(first.v[0], second.v[0]), vzip2q_f32(first.v[0], second.v[0]),
           vzip1q_f32(first.v[1], second.v[1]), vzip2q_f32(first.v[1], second.v[1])}};
    *b = {{vzip1q_f32(first.v[2], second.v[2]), vzip2q_f32(first.v[2], second.v[2]),
           vzip1q_f32(first.v[3], second.v[3]), vzip2q_f32(first.v[3], second.v[3])}};
  }

  static LLM_INLINE F LoadHalf(const uint16_t* p) {
    return Each([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
  }
  static LLM_INLINE void StoreHalf(uint16_t* p, F a) {
    for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
  }
  static LLM_INLINE F LoadBf16(const uint16_t* p) {
    return Each([&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
  }
  static LLM_INLINE void StoreBf16(uint16_t* p, F a) {
    for (int i = 0; i < 4; ++i) {
      const uint32x4_t bits = vreinterpretq_u32_f32(a.v[i]);
      const uint32x4_t high = vshrq_n_u32(bits, 16);
      const uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
      const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
      const uint32x4_t quiet = vorrq_u32(high, vdupq_n_u32(0x40));
      const uint32x4_t number = vceqq_f32(a.v[i], a.v[i]);
      vst1_u16(p + 4 * i, vmovn_u32(vbslq_u32(number, rounded, quiet)));
    }
  }
  static LLM_INLINE F LoadInt8(const int8_t* p) {
    const int8x16_t bytes = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
  }
  static LLM_INLINE void StoreInt8(int8_t* p, F a) {
    const int16x8_t low = vcombine_s16(vmovn_s32(vcvtq_s32_f32(a.v[0])), vmovn_s32(vcvtq_s32_f32(a.v[1])));
    const int16x8_t high = vcombine_s16(vmovn_s32(vcvtq_s32_f32(a.v[2])), vmovn_s32(vcvtq_s32_f32(a.v[3])));
    vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
  }

 private:
  static LLM_INLINE float32x4_t Larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static LLM_INLINE float32x4_t Power(int32x4_t exponent) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(exponent, vdupq_n_s32(127)), 23));
  }
};

}  // namespace
}  // namespace llm
