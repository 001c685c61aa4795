// Matrix products of any size on the pool.
#pragma once

#include <cstdint>

#include "blas/workspace.h"
#include "kernels/kernel_table.h"

namespace llm {

// Element (i, j) is data[i * row_stride + j * column_stride]; one of the strides is 1.
template <typename T>
struct MatrixView {
  const T* data;
  int64_t row_stride, column_stride;

  MatrixView Transposed() const { return {data, column_stride, row_stride}; }
};

template <typename T>
struct Product {
  int m, n, k;
  MatrixView<T> a, b;  // [m, k], [k, n]
  T alpha = 1, beta = 0;
  T* c;  // row-major
  int64_t ldc;
  // Only tiles that reach below or onto the diagonal of a square C need be right; others stay as they are or not.
  bool lower = false;
};

// C = alpha A B + beta C. The order of every sum depends on k and the kernels alone, not on the number of threads.
// False: out of memory. One call at a time per workspace.
template <typename T>
bool Multiply(const KernelTable& kernels, Workspace& workspace, const Product<T>& product);

// The same on the calling thread alone, which may be one of the pool's.
template <typename T>
bool MultiplyHere(const KernelTable& kernels, Workspace& workspace, const Product<T>& product);

// Copies the lower triangle of c [n, n] onto the upper, on the pool.
template <typename T>
void MirrorLower(T* c, int64_t ldc, int n);

}  // namespace llm
