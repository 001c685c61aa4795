#include "kernels/attention_kernels.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kScalarAttention = {};

}  // namespace llm
