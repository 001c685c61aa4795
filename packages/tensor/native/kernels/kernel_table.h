// Every kernel of one instruction set: a family of kernels per field, each described in its own header and written once
// as a template in <family>-inl.h. A new kernel is a field of its family; a new instruction set is a few files in
// targets/ and a line in select.cc, where an instruction set without its own version of a family takes the nearest one.
#pragma once

namespace llm {

struct MatmulKernels;     // kernels/matmul_kernels.h
struct VectorKernels;     // kernels/vector_kernels.h
struct AttentionKernels;  // kernels/attention_kernels.h
struct BlasKernels;       // kernels/blas_kernels.h
struct ProbeKernels;      // kernels/probe_kernels.h
struct Bf16Kernels;       // kernels/bf16_kernels.h
struct F16Kernels;        // kernels/f16_kernels.h
struct TileKernels;       // kernels/tile_kernels.h

struct KernelTable {
  const char* isa;
  const MatmulKernels* matmul;
  const VectorKernels* vector;
  const AttentionKernels* attention;
  const BlasKernels* blas;
  const ProbeKernels* probe;
  const Bf16Kernels* bf16 = nullptr;   // null: bf16 products are computed in fp32
  const TileKernels* tiles = nullptr;  // null: no tile registers
  const F16Kernels* f16 = nullptr;     // null: half-precision products are computed in fp32
};

}  // namespace llm
