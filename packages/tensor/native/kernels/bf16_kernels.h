// Products of bf16 factors with fp32 sums: a family that only some tables have. kernels/matmul.h is the interface.
#pragma once

#include <cstdint>

#include "kernels/matmul_kernels.h"

namespace llm {

// Pairs of neighbouring k; an odd last k is paired with 0.
struct Bf16Kernels {
  // to[pair][rows][2], from x[rows][ldx] with `columns` values each, rounded to nearest even.
  void (*pack)(const float* x, int64_t ldx, int rows, int columns, uint16_t* to);
  // to[pair][32][2], from panel[columns][32].
  void (*round_panel)(const float* panel, int columns, uint16_t* to);
  // out[rows][32], continued unless `first`: one chain of pairs over k for each output.
  void (*multiply)(const uint16_t* x, int rows, const uint16_t* panel, int columns, bool first, float* out,
                   int64_t ldo);
  // Of dense bf16 matrices, as in MatmulKernels.
  StreamKernel stream[kStreamRows];
};

}  // namespace llm
