// Factors and inverses of matrices in double or single precision, by recursion: halves of a matrix are joined by
// products, which is where nearly all the work is. Matrices are row-major; `ld` is the distance of rows.
#pragma once

#include "blas/gemm.h"

namespace llm {

// The row whose pivot does not allow going on, or one of these.
constexpr int kFactored = -1, kOutOfMemory = -2;

// a = L of a = L Lᵀ, in the lower triangle; the other one is not read, but not kept either. Fails where a pivot is not
// positive.
template <typename T>
int Cholesky(const KernelTable& kernels, Workspace& workspace, T* a, int64_t ld, int n);

// b = L⁻¹ b for b [n, columns]. Fails where the diagonal is zero.
template <typename T>
int SolveLower(const KernelTable& kernels, Workspace& workspace, const T* l, int64_t ld, int n, T* b, int64_t ldb,
               int columns);

// l = L⁻¹, in the lower triangle; the other one must be zeros, and stays so.
template <typename T>
int InvertLower(const KernelTable& kernels, Workspace& workspace, T* l, int64_t ld, int n);

}  // namespace llm
