#include "kernels/matmul_neon-inl.h"
#include "targets/targets.h"

namespace llm {

constinit const MatmulKernels kNeonI8mmMatmul = NeonKernels();

}  // namespace llm
