#include "kernels/attention_kernels.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kAvx2Attention = {};

}  // namespace llm
