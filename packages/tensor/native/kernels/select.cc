#include "kernels/select.h"

#include "targets/targets.h"

namespace llm {
namespace {

constexpr CompiledTable kTables[] = {
#if defined(__x86_64__)
    // Every CPU with AMX has half-precision arithmetic too, but a hypervisor may hide it.
    {{"amx", &kAvx512VnniMatmul, &kAvx512fVector, &kAvx512fAttention, &kAvx512fBlas, &kAvx512Bf16Probe, &kAvx512Bf16,
      &kAmxTiles, &kAvx512F16},
     &CpuFeatures::amx_with_fp16},
    {{"amx", &kAvx512VnniMatmul, &kAvx512fVector, &kAvx512fAttention, &kAvx512fBlas, &kAvx512Bf16Probe, &kAvx512Bf16,
      &kAmxTiles},
     &CpuFeatures::amx},
    {{"avx512_fp16", &kAvx512VnniMatmul, &kAvx512fVector, &kAvx512fAttention, &kAvx512fBlas, &kAvx512Bf16Probe,
      &kAvx512Bf16, nullptr, &kAvx512F16},
     &CpuFeatures::avx512_fp16},
    {{"avx512_bf16", &kAvx512VnniMatmul, &kAvx512fVector, &kAvx512fAttention, &kAvx512fBlas, &kAvx512Bf16Probe,
      &kAvx512Bf16},
     &CpuFeatures::avx512_bf16},
    {{"avx512_vnni", &kAvx512VnniMatmul, &kAvx512fVector, &kAvx512fAttention, &kAvx512fBlas, &kAvx512VnniProbe},
     &CpuFeatures::avx512_vnni},
    {{"avx_vnni", &kAvxVnniMatmul, &kAvx2Vector, &kAvx2Attention, &kAvx2Blas, &kAvxVnniProbe}, &CpuFeatures::avx_vnni},
    {{"avx512f", &kAvx512fMatmul, &kAvx512fVector, &kAvx512fAttention, &kAvx512fBlas, &kAvx512fProbe},
     &CpuFeatures::avx512f},
    {{"avx2", &kAvx2Matmul, &kAvx2Vector, &kAvx2Attention, &kAvx2Blas, &kAvx2Probe}, &CpuFeatures::avx2},
#endif
#if defined(__aarch64__)
    {{"neon_i8mm", &kNeonI8mmMatmul, &kNeonVector, &kNeonAttention, &kScalarBlas, &kScalarProbe},
     &CpuFeatures::neon_i8mm},
    {{"neon_dotprod", &kNeonDotprodMatmul, &kNeonVector, &kNeonAttention, &kScalarBlas, &kScalarProbe},
     &CpuFeatures::neon_dotprod},
    {{"neon", &kNeonMatmul, &kNeonVector, &kNeonAttention, &kScalarBlas, &kScalarProbe}, nullptr},
#endif
#if defined(LLM_WASM_RELAXED)
    {{"wasm_relaxed", &kWasmRelaxedMatmul, &kWasmRelaxedVector, &kWasmRelaxedAttention, &kScalarBlas, &kScalarProbe},
     &CpuFeatures::wasm_relaxed},
#endif
#if defined(__wasm__)
    {{"wasm_simd128", &kWasmSimd128Matmul, &kWasmSimd128Vector, &kWasmSimd128Attention, &kScalarBlas, &kScalarProbe},
     nullptr},
#endif
    {{"scalar", &kScalarMatmul, &kScalarVector, &kScalarAttention, &kScalarBlas, &kScalarProbe}, nullptr},
#if !defined(__wasm__)
    // Tile registers in plain code: tests the amx table's kernels on every machine.
    {{"amx_emulated", &kScalarMatmul, &kScalarVector, &kScalarAttention, &kScalarBlas, &kScalarProbe, nullptr,
      &kEmulatedTiles},
     nullptr},
    // Half-precision arithmetic in plain code, for the same reason.
    {{"avx512_fp16_emulated", &kScalarMatmul, &kScalarVector, &kScalarAttention, &kScalarBlas, &kScalarProbe, nullptr,
      nullptr, &kEmulatedF16},
     nullptr},
#endif
};

}  // namespace

std::span<const CompiledTable> CompiledTables() { return kTables; }

const KernelTable* FindKernels(std::string_view isa, const CpuFeatures& cpu) {
  for (const CompiledTable& table : kTables)
    if (isa == table.kernels.isa && table.RunsOn(cpu)) return &table.kernels;
  return nullptr;
}

}  // namespace llm
