// What the probes of all 512-bit instruction sets share: everything but the integer dot product.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/inline.h"

namespace llm {
namespace {

struct ZmmProbeLanes {
  using Bytes = __m512i;
  using Integers = __m512i;
  using Floats = __m512;
  static constexpr int kAccumulators = 24, kIntegerOperations = 128, kFloatOperations = 32;
  static LLM_INLINE Bytes Load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static LLM_INLINE Bytes Or(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }
  static LLM_INLINE uint32_t Any(Bytes v) {
    return static_cast<uint32_t>(_mm512_test_epi32_mask(v, v) | _mm_cvtsi128_si32(_mm512_castsi512_si128(v)));
  }
  static LLM_INLINE Integers Bytes1(int8_t x) { return _mm512_set1_epi8(x); }
  static LLM_INLINE Floats Floats1(float x) { return _mm512_set1_ps(x); }
  static LLM_INLINE Floats Fma(Floats a, Floats b, Floats sum) { return _mm512_fmadd_ps(a, b, sum); }
  template <typename V>
  static LLM_INLINE void Hide(V& v) {
    asm volatile("" : "+v"(v));
  }
};

}  // namespace
}  // namespace llm
