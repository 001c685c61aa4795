#define LLM_LANES "kernels/vector_lanes_avx2.h"
#include "kernels/vector-inl.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kAvx2Vector = kVectorKernels;

}  // namespace llm
