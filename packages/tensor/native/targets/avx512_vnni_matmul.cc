#include "kernels/matmul_float_x86-inl.h"
#include "kernels/matmul_panel_zmm-inl.h"
#include "kernels/matmul_stream_zmm-inl.h"
#include "targets/targets.h"

namespace llm {

const MatmulKernels kAvx512VnniMatmul = {Quantize, LLM_ZMM_ALL_ROWS(VnniZmm), LLM_ZMM_PANELS, LLM_FLOAT_KERNELS(Zmm),
                                         LLM_FLOAT_STREAMS};

}  // namespace llm
