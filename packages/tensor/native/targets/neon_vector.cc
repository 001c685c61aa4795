#define LLM_LANES "kernels/vector_lanes_neon.h"
#include "kernels/vector-inl.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kNeonVector = kVectorKernels;

}  // namespace llm
