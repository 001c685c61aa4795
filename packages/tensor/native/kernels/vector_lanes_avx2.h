// The lanes of vector_lanes_scalar.h as two 256-bit registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/inline.h"

namespace llm {
namespace {

struct Lanes {
  struct F {
    __m256 low, high;
  };
  using M = F;
  static constexpr int kTileRows = 3;
  static constexpr int kTileColumns = 2;

  static LLM_INLINE F Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static LLM_INLINE F Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static LLM_INLINE F LoadPart(const float* p, int n, float fill) {
    const __m256i low = First(n), high = First(n - 8);
    const __m256 f = _mm256_set1_ps(fill);
    return {_mm256_blendv_ps(f, _mm256_maskload_ps(p, low), _mm256_castsi256_ps(low)),
            _mm256_blendv_ps(f, _mm256_maskload_ps(p + 8, high), _mm256_castsi256_ps(high))};
  }
  static LLM_INLINE void Store(float* p, F a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
  }
  static LLM_INLINE void StorePart(float* p, int n, F a) {
    _mm256_maskstore_ps(p, First(n), a.low);
    _mm256_maskstore_ps(p + 8, First(n - 8), a.high);
  }
  static LLM_INLINE F Add(F a, F b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  static LLM_INLINE F Sub(F a, F b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
  static LLM_INLINE F Mul(F a, F b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  static LLM_INLINE F Div(F a, F b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
  static LLM_INLINE F Fma(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static LLM_INLINE F Max(F a, F b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
  static LLM_INLINE F Min(F a, F b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
  static LLM_INLINE F Abs(F a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
  }
  static LLM_INLINE F CopySign(F magnitude, F sign) {
    const __m256 bit = _mm256_set1_ps(-0.0f);
    const F size = Abs(magnitude);
    return {_mm256_or_ps(size.low, _mm256_and_ps(bit, sign.low)),
            _mm256_or_ps(size.high, _mm256_and_ps(bit, sign.high))};
  }
  static LLM_INLINE F Round(F a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
  }
  static LLM_INLINE F ScaleByPower(F a, F n) { return {ScaleByPower(a.low, n.low), ScaleByPower(a.high, n.high)}; }
  static LLM_INLINE M Less(F a, F b) {
    return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
  }
  static LLM_INLINE M AtLeast(F a, F b) {
    return {_mm256_cmp_ps(a.low, b.low, _CMP_GE_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_GE_OQ)};
  }
  static LLM_INLINE F Select(M m, F yes, F no) {
    return {_mm256_blendv_ps(no.low, yes.low, m.low), _mm256_blendv_ps(no.high, yes.high, m.high)};
  }
  static LLM_INLINE uint32_t Bits(M m) {
    return static_cast<uint32_t>(_mm256_movemask_ps(m.low)) | static_cast<uint32_t>(_mm256_movemask_ps(m.high)) << 8;
  }
  static LLM_INLINE F Iota() {
    return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15)};
  }
  static LLM_INLINE float ReduceAdd(F a) {
    const __m256 w = _mm256_add_ps(a.low, a.high);
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(w), _mm256_extractf128_ps(w, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  static LLM_INLINE float ReduceMax(F a) {
    const __m256 w = _mm256_max_ps(a.low, a.high);
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(w), _mm256_extractf128_ps(w, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
  static LLM_INLINE void Unzip(F a, F b, F* first, F* second) {
    *first = {Pairs(a.low, a.high, 0), Pairs(b.low, b.high, 0)};
    *second = {Pairs(a.low, a.high, 1), Pairs(b.low, b.high, 1)};
  }
  static LLM_INLINE void Zip(F first, F second, F* a, F* b) {
    *a = Zip(first.low, second.low);
    *b = Zip(first.high, second.high);
  }

  static LLM_INLINE F LoadHalf(const uint16_t* p) {
    return {_mm256_cvtph_ps(Load128(p)), _mm256_cvtph_ps(Load128(p + 8))};
  }
  static LLM_INLINE void StoreHalf(uint16_t* p, F a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    Store128(p, _mm256_cvtps_ph(a.low, kNearest));
    Store128(p + 8, _mm256_cvtps_ph(a.high, kNearest));
  }
  static LLM_INLINE F LoadBf16(const uint16_t* p) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(Load128(p)), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(Load128(p + 8)), 16))};
  }
  static LLM_INLINE void StoreBf16(uint16_t* p, F a) {
    Store128(p, Narrow(RoundBf16(a.low)));
    Store128(p + 8, Narrow(RoundBf16(a.high)));
  }
  static LLM_INLINE F LoadInt8(const int8_t* p) {
    const __m128i bytes = Load128(p);
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
  }
  static LLM_INLINE void StoreInt8(int8_t* p, F a) {
    const __m256i words = _mm256_packs_epi32(_mm256_cvttps_epi32(a.low), _mm256_cvttps_epi32(a.high));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    Store128(p, _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
  }

 private:
  // All ones in the first n of 8; any n.
  static LLM_INLINE __m256i First(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static LLM_INLINE __m256 ScaleByPower(__m256 a, __m256 n) {
    const __m256i whole = _mm256_cvttps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, Power(half)), Power(_mm256_sub_epi32(whole, half)));
  }
  static LLM_INLINE __m256 Power(__m256i exponent) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23));
  }
  static LLM_INLINE __m256 Pairs(__m256 a, __m256 b, int which) {
    const __m256 mixed = which == 0 ? _mm256_shuffle_ps(a, b, 0x88) : _mm256_shuffle_ps(a, b, 0xdd);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
  }
  static LLM_INLINE F Zip(__m256 first, __m256 second) {
    const __m256 low = _mm256_unpacklo_ps(first, second), high = _mm256_unpackhi_ps(first, second);
    return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
  }
  static LLM_INLINE __m256i RoundBf16(__m256 a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, quiet, nan);
  }
  static LLM_INLINE __m128i Narrow(__m256i words) {
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0xd8);
    return _mm256_castsi256_si128(packed);
  }
  static LLM_INLINE __m128i Load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static LLM_INLINE void Store128(void* p, __m128i a) { _mm_storeu_si128(static_cast<__m128i*>(p), a); }
};

}  // namespace
}  // namespace llm
