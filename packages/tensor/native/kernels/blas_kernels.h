// The inner part of a matrix product in single or double precision: one tile of C at a time, from packed operands.
#pragma once

#include <cstdint>

namespace llm {

// A panel is `width` rows of op(A), or columns of op(B), interleaved: [k][width]. Lane i at position k of the source is
// source[i * lane_stride + k * k_stride]; lanes from `lanes` on become zeros.
template <typename T>
using PackPanel = void (*)(const T* source, int64_t lane_stride, int64_t k_stride, int lanes, int k, T* panel);

template <typename T>
struct GemmKernels {
  int rows, columns;          // of a tile
  PackPanel<T> pack_rows;     // width = rows
  PackPanel<T> pack_columns;  // width = columns
  // c = alpha a b + beta c for the first `valid_rows` rows and `valid_columns` columns of a tile; beta = 0 does not
  // read c.
  void (*tile)(int k, const T* a, const T* b, T alpha, T beta, T* c, int64_t ldc, int valid_rows, int valid_columns);
};

struct BlasKernels {
  GemmKernels<float> f32;
  GemmKernels<double> f64;
};

}  // namespace llm
