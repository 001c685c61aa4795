#include "kernels/matmul_float_x86-inl.h"
#include "kernels/matmul_ymm-inl.h"
#include "targets/targets.h"

namespace llm {

const MatmulKernels kAvxVnniMatmul = {Quantize, LLM_YMM_ALL_ROWS(VnniYmm), {}, {}, LLM_FLOAT_KERNELS(Ymm), {}};

}  // namespace llm
