#include "kernels/inline.h"
#include "targets/targets.h"

namespace llm {
namespace {

// The compiler's own vectors of 16 bytes: SSE2 and NEON registers, or plain code. Without a fused multiplication, which
// not every CPU has.
template <typename Number>
struct PortableLanes {
  using T = Number;
  typedef T V __attribute__((vector_size(16)));
  static constexpr int kLanes = 16 / sizeof(T), kRows = 4, kVectors = 2;
  static LLM_INLINE V Zero() { return V{}; }
  static LLM_INLINE V Set(T x) { return V{} + x; }
  static LLM_INLINE V Load(const T* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static LLM_INLINE void Store(T* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
  static LLM_INLINE V Mul(V a, V b) { return a * b; }
  static LLM_INLINE V Fma(V a, V b, V c) { return a * b + c; }
  static LLM_INLINE T ScalarFma(T a, T b, T c) { return a * b + c; }
};

using SingleLanes = PortableLanes<float>;
using DoubleLanes = PortableLanes<double>;

}  // namespace
}  // namespace llm

#include "kernels/blas-inl.h"

namespace llm {

const BlasKernels kScalarBlas = kBlasKernels;

}  // namespace llm
