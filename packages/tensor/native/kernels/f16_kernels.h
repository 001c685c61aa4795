// Products in half precision: a family that only some tables have. kernels/matmul.h is the interface.
#pragma once

#include <cstdint>

namespace llm {

// Values of k that one chain of half-precision multiply-adds takes; such sums are then added up in fp32, in order.
constexpr int kHalfRun = 32;

struct F16Kernels {
  // to[k][rows], from x[rows][ldx] with `columns` values each, rounded to nearest even.
  void (*pack)(const float* x, int64_t ldx, int rows, int columns, uint16_t* to);
  // to[k][32], from panel[columns][32].
  void (*round_panel)(const float* panel, int columns, uint16_t* to);
  // out[rows][32], continued unless `first`. Panels begin at a multiple of kHalfRun.
  void (*multiply)(const uint16_t* x, int rows, const uint16_t* panel, int columns, bool first, float* out,
                   int64_t ldo);
};

}  // namespace llm
