#include "kernels/matmul_wasm-inl.h"
#include "targets/targets.h"

namespace llm {

constinit const MatmulKernels kWasmRelaxedMatmul = WasmKernels();

}  // namespace llm
