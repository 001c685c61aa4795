#include "kernels/matmul_float_x86-inl.h"
#include "kernels/matmul_stream_zmm-inl.h"
#include "kernels/matmul_zmm-inl.h"
#include "targets/targets.h"

namespace llm {

const MatmulKernels kAvx512fMatmul = {Quantize, LLM_ZMM_ALL_ROWS(MaddZmm), {},
                                      {},       LLM_FLOAT_KERNELS(Zmm),    LLM_FLOAT_STREAMS};

}  // namespace llm
