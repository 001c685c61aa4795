#define LLM_LANES "kernels/vector_lanes_avx512.h"
#include "kernels/vector-inl.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kAvx512fVector = kVectorKernels;

}  // namespace llm
