// The lanes of vector_lanes_scalar.h as one 512-bit register.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/inline.h"

namespace llm {
namespace {

struct Lanes {
  using F = __m512;
  using M = __mmask16;
  static constexpr int kTileRows = 6;
  static constexpr int kTileColumns = 4;

  static LLM_INLINE F Set(float x) { return _mm512_set1_ps(x); }
  static LLM_INLINE F Load(const float* p) { return _mm512_loadu_ps(p); }
  static LLM_INLINE F LoadPart(const float* p, int n, float fill) {
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), First(n), p);
  }
  static LLM_INLINE void Store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static LLM_INLINE void StorePart(float* p, int n, F a) { _mm512_mask_storeu_ps(p, First(n), a); }
  static LLM_INLINE F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static LLM_INLINE F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static LLM_INLINE F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static LLM_INLINE F Div(F a, F b) { return _mm512_div_ps(a, b); }
  static LLM_INLINE F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static LLM_INLINE F Max(F a, F b) { return _mm512_max_ps(a, b); }
  static LLM_INLINE F Min(F a, F b) { return _mm512_min_ps(a, b); }
  static LLM_INLINE F Abs(F a) { return _mm512_abs_ps(a); }
  static LLM_INLINE F CopySign(F magnitude, F sign) {
    // imm: where the third operand (the sign bit) is set the second, else the first
    return Cast(_mm512_ternarylogic_epi32(Cast(magnitude), Cast(sign), _mm512_set1_epi32(INT32_MIN), 0xd8));
  }
  static LLM_INLINE F Round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static LLM_INLINE F ScaleByPower(F a, F n) { return _mm512_scalef_ps(a, n); }
  static LLM_INLINE M Less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static LLM_INLINE M AtLeast(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  static LLM_INLINE F Select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
  static LLM_INLINE uint32_t Bits(M m) { return m; }
  static LLM_INLINE F Iota() { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  static LLM_INLINE float ReduceAdd(F a) {
    __m256 w = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(w), _mm256_extractf128_ps(w, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  static LLM_INLINE float ReduceMax(F a) {
    __m256 w = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(w), _mm256_extractf128_ps(w, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
  static LLM_INLINE void Unzip(F a, F b, F* first, F* second) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *first = _mm512_permutex2var_ps(a, even, b);
    *second = _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b);
  }
  static LLM_INLINE void Zip(F first, F second, F* a, F* b) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *a = _mm512_permutex2var_ps(first, low, second);
    *b = _mm512_permutex2var_ps(first, _mm512_add_epi32(low, _mm512_set1_epi32(8)), second);
  }

  static LLM_INLINE F LoadHalf(const uint16_t* p) { return _mm512_cvtph_ps(Load256(p)); }
  static LLM_INLINE void StoreHalf(uint16_t* p, F a) {
    Store256(p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static LLM_INLINE F LoadBf16(const uint16_t* p) {
    return Cast(_mm512_slli_epi32(_mm512_cvtepu16_epi32(Load256(p)), 16));
  }
  static LLM_INLINE void StoreBf16(uint16_t* p, F a) {
    const __m512i bits = Cast(a);
    const __m512i high = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
    const __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    Store256(p, _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, quiet)));
  }
  static LLM_INLINE F LoadInt8(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  static LLM_INLINE void StoreInt8(int8_t* p, F a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a)));
  }

 private:
  static LLM_INLINE __mmask16 First(int n) { return static_cast<__mmask16>((1u << n) - 1); }
  static LLM_INLINE __m512i Cast(F a) { return _mm512_castps_si512(a); }
  static LLM_INLINE F Cast(__m512i a) { return _mm512_castsi512_ps(a); }
  static LLM_INLINE __m256i Load256(const uint16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static LLM_INLINE void Store256(uint16_t* p, __m256i a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
};

}  // namespace
}  // namespace llm
