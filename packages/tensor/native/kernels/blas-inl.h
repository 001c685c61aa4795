// The product kernels, for a translation unit that defines SingleLanes and DoubleLanes before it includes this:
//   T                           the number type
//   V, kLanes                   a vector register and its numbers
//   kRows, kVectors             a tile is kRows rows by kVectors registers; the accumulators must fit the register file
//   Zero(), Load(p), Store(p, v), Set(x), Fma(a, b, c) = a b + c
#pragma once

#include <cstdint>

#include "kernels/blas_kernels.h"
#include "kernels/inline.h"

namespace llm {
namespace {

template <typename Lanes>
struct Gemm {
  using T = typename Lanes::T;
  using V = typename Lanes::V;
  static constexpr int kRows = Lanes::kRows, kVectors = Lanes::kVectors, kLanes = Lanes::kLanes;
  static constexpr int kColumns = kVectors * kLanes;

  static void Tile(int k, const T* a, const T* b, T alpha, T beta, T* c, int64_t ldc, int valid_rows,
                   int valid_columns) {
    V sums[kRows][kVectors];
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[row][v] = Lanes::Zero();

    for (int i = 0; i < k; ++i, a += kRows, b += kColumns) {
      V right[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) right[v] = Lanes::Load(b + v * kLanes);
#pragma GCC unroll 16
      for (int row = 0; row < kRows; ++row) {
        const V left = Lanes::Set(a[row]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sums[row][v] = Lanes::Fma(left, right[v], sums[row][v]);
      }
    }

    if (valid_rows == kRows && valid_columns == kColumns) {
#pragma GCC unroll 16
      for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          T* const out = c + row * ldc + v * kLanes;
          const V before = beta == 0 ? Lanes::Zero() : Lanes::Load(out);
          Lanes::Store(out, Lanes::Fma(Lanes::Set(alpha), sums[row][v], Lanes::Mul(Lanes::Set(beta), before)));
        }
      return;
    }
    T whole[kRows * kColumns];
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) Lanes::Store(whole + row * kColumns + v * kLanes, sums[row][v]);
    for (int row = 0; row < valid_rows; ++row)
      for (int column = 0; column < valid_columns; ++column) {
        T& out = c[row * ldc + column];
        const T before = beta == 0 ? T{0} : beta * out;
        out = Lanes::ScalarFma(alpha, whole[row * kColumns + column], before);
      }
  }

  template <int width>
  static void Pack(const T* source, int64_t lane_stride, int64_t k_stride, int lanes, int k, T* panel) {
    if (lanes < width)
      for (int64_t i = 0; i < int64_t{k} * width; ++i) panel[i] = 0;
    if (lane_stride == 1 && lanes == width) {
      for (int i = 0; i < k; ++i, source += k_stride, panel += width)
        for (int lane = 0; lane < width; ++lane) panel[lane] = source[lane];
      return;
    }
    // A cache line of every lane at a time.
    constexpr int kStep = 64 / static_cast<int>(sizeof(T));
    for (int begin = 0; begin < k; begin += kStep) {
      const int steps = k - begin < kStep ? k - begin : kStep;
      for (int lane = 0; lane < lanes; ++lane) {
        const T* const from = source + lane * lane_stride + begin * k_stride;
        T* const to = panel + int64_t{begin} * width + lane;
        for (int i = 0; i < steps; ++i) to[i * width] = from[i * k_stride];
      }
    }
  }

  static constexpr GemmKernels<T> kKernels = {kRows, kColumns, Pack<kRows>, Pack<kColumns>, Tile};
};

constexpr BlasKernels kBlasKernels = {Gemm<SingleLanes>::kKernels, Gemm<DoubleLanes>::kKernels};

}  // namespace
}  // namespace llm
