#include "kernels/probe_lanes_zmm.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes : ZmmProbeLanes {
  static LLM_INLINE Integers Dot(Integers sum, Integers a, Integers b) { return _mm512_dpbusd_epi32(sum, a, b); }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kAvx512VnniProbe = kProbeKernels;

}  // namespace llm
