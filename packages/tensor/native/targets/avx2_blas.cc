#include <immintrin.h>

#include "kernels/inline.h"
#include "targets/targets.h"

namespace llm {
namespace {

// 12 accumulators, 2 columns of B and a broadcast: 15 of 16 registers.
struct SingleLanes {
  using T = float;
  using V = __m256;
  static constexpr int kLanes = 8, kRows = 6, kVectors = 2;
  static LLM_INLINE V Zero() { return _mm256_setzero_ps(); }
  static LLM_INLINE V Set(T x) { return _mm256_set1_ps(x); }
  static LLM_INLINE V Load(const T* p) { return _mm256_loadu_ps(p); }
  static LLM_INLINE void Store(T* p, V v) { _mm256_storeu_ps(p, v); }
  static LLM_INLINE V Mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static LLM_INLINE V Fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static LLM_INLINE T ScalarFma(T a, T b, T c) { return __builtin_fmaf(a, b, c); }
};

struct DoubleLanes {
  using T = double;
  using V = __m256d;
  static constexpr int kLanes = 4, kRows = 6, kVectors = 2;
  static LLM_INLINE V Zero() { return _mm256_setzero_pd(); }
  static LLM_INLINE V Set(T x) { return _mm256_set1_pd(x); }
  static LLM_INLINE V Load(const T* p) { return _mm256_loadu_pd(p); }
  static LLM_INLINE void Store(T* p, V v) { _mm256_storeu_pd(p, v); }
  static LLM_INLINE V Mul(V a, V b) { return _mm256_mul_pd(a, b); }
  static LLM_INLINE V Fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  static LLM_INLINE T ScalarFma(T a, T b, T c) { return __builtin_fma(a, b, c); }
};

}  // namespace
}  // namespace llm

#include "kernels/blas-inl.h"

namespace llm {

const BlasKernels kAvx2Blas = kBlasKernels;

}  // namespace llm
