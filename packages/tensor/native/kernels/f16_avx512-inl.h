// AVX512_FP16: 32 half-precision multiply-adds in one instruction.
#include <immintrin.h>

#include <cstdint>

#include "kernels/inline.h"

namespace llm {
namespace {

struct Avx512Halves {
  using Halves = __m512h;
  using Floats = __m512;
  LLM_INLINE static Halves Zero() { return _mm512_setzero_ph(); }
  LLM_INLINE static Halves Load(const uint16_t* p) { return _mm512_castsi512_ph(_mm512_loadu_si512(p)); }
  LLM_INLINE static Halves Broadcast(const uint16_t* p) {
    // So written, it becomes an operand of the multiplication itself: a vpbroadcastw would take its place on a port.
    _Float16 number;
    __builtin_memcpy(&number, p, sizeof number);
    return _mm512_set1_ph(number);
  }
  LLM_INLINE static Halves Fma(Halves a, Halves b, Halves c) { return _mm512_fmadd_ph(a, b, c); }
  template <int half>
  LLM_INLINE static Floats Widen(Halves v) {
    return _mm512_cvtph_ps(_mm512_extracti64x4_epi64(_mm512_castph_si512(v), half));
  }
  LLM_INLINE static Floats LoadFloats(const float* p) { return _mm512_loadu_ps(p); }
  LLM_INLINE static Floats ZeroFloats() { return _mm512_setzero_ps(); }
  LLM_INLINE static Floats Add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  LLM_INLINE static void Store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
  LLM_INLINE static void Round16(const float* from, uint16_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};

}  // namespace
}  // namespace llm
