#include "kernels/probe_lanes_zmm.h"
#include "targets/targets.h"

namespace llm {
namespace {

struct ProbeLanes : ZmmProbeLanes {
  using Halves = __m512bh;
  static LLM_INLINE Integers Dot(Integers sum, Integers a, Integers b) { return _mm512_dpbusd_epi32(sum, a, b); }
  static LLM_INLINE Halves Halves1() { return _mm512_cvtne2ps_pbh(Floats1(1), Floats1(1)); }
  static LLM_INLINE Floats DotHalves(Floats sum, Halves a, Halves b) { return _mm512_dpbf16_ps(sum, a, b); }
};

}  // namespace
}  // namespace llm

#include "kernels/probe-inl.h"

namespace llm {

const ProbeKernels kAvx512Bf16Probe = kProbeKernels;

}  // namespace llm
