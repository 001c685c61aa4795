#include "kernels/vector-inl.h"
#include "kernels/vector_lanes_scalar.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kScalarVector = kVectorKernels;

}  // namespace llm
