#include "kernels/probe_lanes_zmm.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes : ZmmProbeLanes {
  static constexpr int kFold = 8, kFoldedSums = 8;  // eight pairs of at most 2 * 15 * 127
  static LLM_INLINE Integers Pairs(Integers a, Integers b) { return _mm512_maddubs_epi16(a, b); }
  static LLM_INLINE Integers AddPairs(Integers a, Integers b) { return _mm512_add_epi16(a, b); }
  static LLM_INLINE Integers Widen(Integers sum, Integers pairs) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kAvx512fProbe = kProbeKernels;

}  // namespace llm
