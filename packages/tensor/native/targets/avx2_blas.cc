#include "kernels/blas_kernels.h"
#include "targets/targets.h"

namespace llm {

const BlasKernels kAvx2Blas = {};

}  // namespace llm
