#include "kernels/probe_lanes_ymm.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes : YmmProbeLanes {
  static LLM_INLINE Integers Dot(Integers sum, Integers a, Integers b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kAvxVnniProbe = kProbeKernels;

}  // namespace llm
