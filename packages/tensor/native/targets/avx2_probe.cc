#include "kernels/probe_lanes_ymm.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes : YmmProbeLanes {
  static LLM_INLINE Integers Dot(Integers sum, Integers a, Integers b) {
    Hide(a);
    const __m256i pairs = _mm256_maddubs_epi16(a, b);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kAvx2Probe = kProbeKernels;

}  // namespace llm
