#include "kernels/attention-inl.h"
#include "kernels/vector_lanes_scalar.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kScalarAttention = kAttentionKernels;

}  // namespace llm
