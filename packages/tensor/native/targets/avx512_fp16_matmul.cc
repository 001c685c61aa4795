#include "kernels/f16_avx512-inl.h"
#include "kernels/matmul_f16-inl.h"
#include "targets/targets.h"

namespace llm {

const F16Kernels kAvx512F16 = kHalfFunctions<Avx512Halves>;

}  // namespace llm
