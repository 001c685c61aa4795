#include "kernels/matmul_scalar-inl.h"
#include "targets/targets.h"

namespace llm {

const MatmulKernels kAvxVnniMatmul = kScalarKernels;

}  // namespace llm
