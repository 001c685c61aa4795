#include "kernels/f16_emulated-inl.h"
#include "kernels/matmul_f16-inl.h"
#include "targets/targets.h"

namespace llm {

const F16Kernels kEmulatedF16 = kHalfFunctions<EmulatedHalves>;

}  // namespace llm
