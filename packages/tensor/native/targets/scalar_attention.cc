#define LLM_LANES "kernels/vector_lanes_scalar.h"
#include "kernels/attention-inl.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kScalarAttention = kAttentionKernels;

}  // namespace llm
