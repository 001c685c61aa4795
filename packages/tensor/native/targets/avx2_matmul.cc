#include "kernels/matmul_float_x86-inl.h"
#include "kernels/matmul_ymm-inl.h"
#include "targets/targets.h"

namespace llm {

const MatmulKernels kAvx2Matmul = {Quantize, LLM_YMM_ALL_ROWS(MaddYmm), {}, {}, LLM_FLOAT_KERNELS(Ymm), {}};

}  // namespace llm
