#define LLM_LANES "kernels/vector_lanes_avx2.h"
#include "kernels/attention-inl.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kAvx2Attention = kAttentionKernels;

}  // namespace llm
