#include <immintrin.h>

#include <cstdint>

#include "kernels/inline.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes {
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
  static LLM_INLINE Integers Dot(Integers sum, Integers a, Integers b) {
    Hide(a);
    const __m512i pairs = _mm512_maddubs_epi16(a, b);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kAvx512fProbe = kProbeKernels;

}  // namespace llm
