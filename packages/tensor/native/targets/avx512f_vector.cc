#include "kernels/vector-inl.h"
#include "kernels/vector_lanes_avx512.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kAvx512fVector = kVectorKernels;

}  // namespace llm
