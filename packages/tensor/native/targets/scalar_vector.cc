#include "kernels/vector_kernels.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kScalarVector = {};

}  // namespace llm
