// What the x86 tables of the matmul family share: quantization of activations in 256-bit vectors. Included once by each
// target, in its own unnamed namespace.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/matmul_kernels.h"

namespace llm {
namespace {

LLM_INLINE uint32_t LargestLane(__m256i v) {
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4E));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_max_epu32(m, _mm_shuffle_epi32(m, 0xB1))));
}

LLM_INLINE int32_t SumOfLanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1)));
}

// Eight values from k on; those past the end are 0.
LLM_INLINE __m256 LoadEight(const float* row, int k, int columns) {
  if (k + 8 <= columns) return _mm256_loadu_ps(row + k);
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(row + k, _mm256_cmpgt_epi32(_mm256_set1_epi32(columns - k), lanes));
}

// The same rounding as the scalar reference: multiply by 127 / peak, to nearest even, clamp to +-127.
void Quantize(const float* x, int64_t ldx, int rows, int columns, const SegmentPlan& plan, int base_factor,
              int8_t* quants, int32_t* base, float* scale) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF), limit = _mm256_set1_epi32(127);
  const __m256i lowest = _mm256_set1_epi32(-127);
  // Bytes 0, 4, 8, 12 of each half.
  const __m256i narrow = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1,
                                          -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  for (int r = 0; r < rows; ++r) {
    const float* row = x + r * ldx;
    int8_t* to = quants + r * kOctet;
    int k = 0;
    for (int s = 0, span = 0; s < plan.segments; ++span) {
      const int end = Smaller(s + plan.per_span, plan.segments);
      const int span_octets = (end - s) * plan.octets - (end == plan.segments ? plan.octets - plan.tail_octets : 0);
      const int stop = k + span_octets * kOctet;
      __m256i top = _mm256_setzero_si256();
      for (int i = k; i < stop; i += 8)
        top = _mm256_max_epu32(top, _mm256_and_si256(_mm256_castps_si256(LoadEight(row, i, columns)), magnitude));
      const uint32_t bits = LargestLane(top);
      float peak;
      std::memcpy(&peak, &bits, sizeof peak);
      const bool finite = bits < 0x7F800000, zero = !finite || peak < kSmallestPeak;
      scale[span * rows + r] = !finite ? __builtin_nanf("") : zero ? 0.0f : peak / 127.0f;
      const __m256 inverse = _mm256_set1_ps(zero ? 0.0f : 127.0f / peak);
      for (; s < end; ++s) {
        const int octets = s == plan.segments - 1 ? plan.tail_octets : plan.octets;
        __m256i sum = _mm256_setzero_si256();
        for (int o = 0; o < octets; ++o, k += kOctet, to += rows * kOctet) {
          __m256i q = _mm256_setzero_si256();
          if (!zero) {
            q = _mm256_cvtps_epi32(_mm256_mul_ps(LoadEight(row, k, columns), inverse));
            // Exceeds 127 only by rounding, but 16-bit sums rely on the bound.
            q = _mm256_max_epi32(_mm256_min_epi32(q, limit), lowest);
          }
          sum = _mm256_add_epi32(sum, q);
          const __m256i bytes = _mm256_shuffle_epi8(q, narrow);
          const __m128i octet = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
          _mm_storel_epi64(reinterpret_cast<__m128i*>(to), octet);
        }
        base[s * rows + r] = base_factor * SumOfLanes(sum);
      }
    }
  }
}

LLM_INLINE __m256i BroadcastQuad256(const int8_t* quad) {
  int32_t bits;
  std::memcpy(&bits, quad, sizeof bits);
  return _mm256_set1_epi32(bits);
}

}  // namespace
}  // namespace llm
