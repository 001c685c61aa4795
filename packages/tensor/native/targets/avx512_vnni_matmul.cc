#include "kernels/matmul_kernels.h"
#include "targets/targets.h"

namespace llm {

const MatmulKernels kAvx512VnniMatmul = {};

}  // namespace llm
