// What the probes of all 256-bit instruction sets share: everything but the integer dot product.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/inline.h"

namespace llm {
namespace {

struct YmmProbeLanes {
  using Bytes = __m256i;
  using Integers = __m256i;
  using Floats = __m256;
  static constexpr int kAccumulators = 12, kIntegerOperations = 64, kFloatOperations = 16;
  static LLM_INLINE Bytes Load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static LLM_INLINE Bytes Or(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
  static LLM_INLINE uint32_t Any(Bytes v) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(v) | _mm256_extract_epi32(v, 0));
  }
  static LLM_INLINE Integers Bytes1(int8_t x) { return _mm256_set1_epi8(x); }
  static LLM_INLINE Floats Floats1(float x) { return _mm256_set1_ps(x); }
  static LLM_INLINE Floats Fma(Floats a, Floats b, Floats sum) { return _mm256_fmadd_ps(a, b, sum); }
  template <typename V>
  static LLM_INLINE void Hide(V& v) {
    asm volatile("" : "+x"(v));
  }
};

}  // namespace
}  // namespace llm
