#define LLM_LANES "kernels/vector_lanes_neon.h"
#include "kernels/attention-inl.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kNeonAttention = kAttentionKernels;

}  // namespace llm
