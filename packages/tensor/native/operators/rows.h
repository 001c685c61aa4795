// Operators on whole batches of tokens, forwards and backwards, on the pool: what calibration and training compute
// between the matrix products. Each row is computed by itself, so results do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace llm {

using UnaryVectors = void (*)(const float* x, int n, float* out);
using BinaryVectors = void (*)(const float* x, const float* y, int n, float* out);

void MapUnary(UnaryVectors kernel, const float* x, int64_t n, float* out);
void MapBinary(BinaryVectors kernel, const float* x, const float* y, int64_t n, float* out);

struct Norm {
  bool centred;  // LayerNorm; else RMSNorm
  float epsilon;
  int64_t rows;
  int columns;
  const float* weight;
  const float* bias;  // null: none
};
void NormRows(const KernelTable& table, const Norm& norm, const float* x, float* out);
void NormRowsBackward(const KernelTable& table, const Norm& norm, const float* x, const float* dy, float* dx);

struct Rotation {
  int64_t rows;
  int columns, head, rotary;  // columns: whole heads; the first `rotary` values of each are rotated
  bool interleaved;
  const float* cos_sin;  // [rows][rotary / 2][2]
};
void RotateRows(const KernelTable& table, const Rotation& rotation, const float* x, float* out);

// x[row] += bias
void AddBias(const KernelTable& table, const float* bias, int64_t rows, int columns, float* x);

// Moves values by `rate` against the sign of their gradient, where it has one, inside [low, high].
void SignStep(const float* gradient, float rate, float low, float high, int64_t n, float* values);

// The products of the rows of x with those of y, in a fixed order of sums.
void RowProducts(const float* x, const float* y, int64_t rows, int columns, double* products);

// Adds |x| and x^2 of each column to its sums.
void AddMoments(const float* x, int64_t rows, int columns, double* absolute, double* squares);

}  // namespace llm
