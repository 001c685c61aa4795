// One constant per file of this folder. binding.gyp decides which are compiled, and with which flags.
#pragma once

#include "kernels/kernel_table.h"

namespace llm {

extern const MatmulKernels kScalarMatmul, kAvx2Matmul, kAvxVnniMatmul, kAvx512fMatmul, kAvx512VnniMatmul;
extern const MatmulKernels kNeonMatmul, kNeonDotprodMatmul, kNeonI8mmMatmul, kWasmSimd128Matmul, kWasmRelaxedMatmul;
extern const VectorKernels kScalarVector, kAvx2Vector, kAvx512fVector, kNeonVector;
extern const VectorKernels kWasmSimd128Vector, kWasmRelaxedVector;
extern const AttentionKernels kScalarAttention, kAvx2Attention, kAvx512fAttention, kNeonAttention;
extern const AttentionKernels kWasmSimd128Attention, kWasmRelaxedAttention;
extern const BlasKernels kScalarBlas, kAvx2Blas, kAvx512fBlas;
extern const ProbeKernels kScalarProbe, kAvx2Probe, kAvxVnniProbe, kAvx512fProbe, kAvx512VnniProbe, kAvx512Bf16Probe;
extern const Bf16Kernels kAvx512Bf16;
extern const F16Kernels kAvx512F16, kEmulatedF16;
extern const TileKernels kAmxTiles, kEmulatedTiles;

}  // namespace llm
