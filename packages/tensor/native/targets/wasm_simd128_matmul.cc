#include "kernels/matmul_wasm-inl.h"
#include "targets/targets.h"

namespace llm {

constinit const MatmulKernels kWasmSimd128Matmul = WasmKernels();

}  // namespace llm
