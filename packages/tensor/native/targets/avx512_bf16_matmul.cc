#include "kernels/matmul_bf16_zmm-inl.h"
#include "kernels/matmul_stream_zmm-inl.h"
#include "targets/targets.h"

namespace llm {

const Bf16Kernels kAvx512Bf16 = {PackBf16, RoundPanel, MultiplyBf16, LLM_STREAMS(PairSums, kBf16)};

}  // namespace llm
