#include <immintrin.h>

#include "kernels/inline.h"
#include "targets/targets.h"

namespace llm {
namespace {

// 28 accumulators and 2 columns of B: 30 of 32 registers; A is broadcast from memory by the multiplication itself.
struct SingleLanes {
  using T = float;
  using V = __m512;
  static constexpr int kLanes = 16, kRows = 14, kVectors = 2;
  static LLM_INLINE V Zero() { return _mm512_setzero_ps(); }
  static LLM_INLINE V Set(T x) { return _mm512_set1_ps(x); }
  static LLM_INLINE V Load(const T* p) { return _mm512_loadu_ps(p); }
  static LLM_INLINE void Store(T* p, V v) { _mm512_storeu_ps(p, v); }
  static LLM_INLINE V Mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static LLM_INLINE V Fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static LLM_INLINE T ScalarFma(T a, T b, T c) { return __builtin_fmaf(a, b, c); }
};

struct DoubleLanes {
  using T = double;
  using V = __m512d;
  static constexpr int kLanes = 8, kRows = 14, kVectors = 2;
  static LLM_INLINE V Zero() { return _mm512_setzero_pd(); }
  static LLM_INLINE V Set(T x) { return _mm512_set1_pd(x); }
  static LLM_INLINE V Load(const T* p) { return _mm512_loadu_pd(p); }
  static LLM_INLINE void Store(T* p, V v) { _mm512_storeu_pd(p, v); }
  static LLM_INLINE V Mul(V a, V b) { return _mm512_mul_pd(a, b); }
  static LLM_INLINE V Fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  static LLM_INLINE T ScalarFma(T a, T b, T c) { return __builtin_fma(a, b, c); }
};

}  // namespace
}  // namespace llm

#include "kernels/blas-inl.h"

namespace llm {

const BlasKernels kAvx512fBlas = kBlasKernels;

}  // namespace llm
