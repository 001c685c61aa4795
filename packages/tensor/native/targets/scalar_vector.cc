#define LLM_LANES "kernels/vector_lanes_scalar.h"
#include "kernels/vector-inl.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kScalarVector = kVectorKernels;

}  // namespace llm
