#define LLM_LANES "kernels/vector_lanes_wasm.h"
#include "kernels/attention-inl.h"
#include "targets/targets.h"

namespace llm {

const AttentionKernels kWasmRelaxedAttention = kAttentionKernels;

}  // namespace llm
