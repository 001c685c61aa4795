#include "kernels/probe_lanes_ymm.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes : YmmProbeLanes {
  static constexpr int kFold = 8, kFoldedSums = 6;  // eight pairs of at most 2 * 15 * 127
  static LLM_INLINE Integers Pairs(Integers a, Integers b) { return _mm256_maddubs_epi16(a, b); }
  static LLM_INLINE Integers AddPairs(Integers a, Integers b) { return _mm256_add_epi16(a, b); }
  static LLM_INLINE Integers Widen(Integers sum, Integers pairs) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kAvx2Probe = kProbeKernels;

}  // namespace llm
