#include "kernels/probe_lanes_zmm.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes : ZmmProbeLanes {
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
