#define LLM_LANES "kernels/vector_lanes_avx512.h"
#include "kernels/attention-inl.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kAvx512fAttention = kAttentionKernels;

}  // namespace llm
