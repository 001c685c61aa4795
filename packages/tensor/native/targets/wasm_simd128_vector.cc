#define LLM_LANES "kernels/vector_lanes_wasm.h"
#include "kernels/vector-inl.h"
#include "targets/targets.h"

namespace llm {

const VectorKernels kWasmSimd128Vector = kVectorKernels;

}  // namespace llm
