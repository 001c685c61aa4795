#include <cstdint>

#include "kernels/inline.h"
#include "targets/targets.h"

namespace llm {
namespace {

// The compiler's own vectors of 16 bytes, as in scalar_blas.cc.
struct ProbeLanes {
  typedef int32_t Bytes __attribute__((vector_size(16)));
  typedef int16_t Integers __attribute__((vector_size(16)));
  typedef float Floats __attribute__((vector_size(16)));
  static constexpr int kAccumulators = 12, kIntegerOperations = 16, kFloatOperations = 8;
  static LLM_INLINE Bytes Load(const uint8_t* p) {
    Bytes v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static LLM_INLINE Bytes Or(Bytes a, Bytes b) { return a | b; }
  static LLM_INLINE uint32_t Any(Bytes v) { return static_cast<uint32_t>(v[0] | v[1] | v[2] | v[3]); }
  static LLM_INLINE Integers Bytes1(int8_t x) { return Integers{} + x; }
  static LLM_INLINE Floats Floats1(float x) { return Floats{} + x; }
  static LLM_INLINE Integers Dot(Integers sum, Integers a, Integers b) {
    Hide(a);
    return sum + a * b;
  }
  static LLM_INLINE Floats Fma(Floats a, Floats b, Floats sum) {
    Hide(a);
    return a * b + sum;
  }
  template <typename V>
  static LLM_INLINE void Hide(V& v) {
#if defined(__x86_64__)
    asm volatile("" : "+x"(v));
#elif defined(__aarch64__)
    asm volatile("" : "+w"(v));
#else
    asm volatile("" : "+m"(v));
#endif
  }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kScalarProbe = kProbeKernels;

}  // namespace llm
