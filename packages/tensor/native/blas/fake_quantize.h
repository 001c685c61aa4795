// Weights rounded to integer grids and back, with the gradients that SignRound trains on (arXiv 2309.05516; formulas in
// src/reference/fake-quantize.ts). On the pool, rows on their own.
#pragma once

#include <cstdint>

namespace llm {

struct FakeQuantization {
  int rows, columns;
  int bits;
  int group;                   // columns under one scale
  bool symmetric;              // full range, else with integer zero points
  const float* weights;        // [rows][columns]
  const float* rounding;       // [rows][columns], or null for zeros
  const float* minimum_scale;  // [rows][groups], or null for ones
  const float* maximum_scale;

  int Groups() const { return (columns + group - 1) / group; }
};

// out [rows][columns]
void FakeQuantize(const FakeQuantization& task, float* out);

// What rounding does to the weights when each column is multiplied by its factor before and divided by it after: out =
// weights - rounded [rows][columns]. column_scale may be null for ones; task.rounding is not used.
void RoundingErrors(const FakeQuantization& task, const float* column_scale, float* out);

// From the loss's gradient by the rounded weights to those by rounding [rows][columns] and both scales [rows][groups].
void FakeQuantizeBackward(const FakeQuantization& task, const float* gradient, float* of_rounding,
                          float* of_minimum_scale, float* of_maximum_scale);

}  // namespace llm
