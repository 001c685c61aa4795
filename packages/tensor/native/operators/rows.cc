#include "operators/rows.h"

#include <algorithm>

#include "kernels/vector_kernels.h"
#include "threads/on_pool.h"

namespace llm {
namespace {

constexpr int64_t kLeastValues = 1 << 14;
// Kernels count in int.
constexpr int64_t kMostValues = 1 << 28;

int64_t LeastRows(int columns) { return std::max<int64_t>(1, kLeastValues / columns); }

template <typename Visit>
void ForParts(int64_t n, const Visit& visit) {
  OnPool(n, kLeastValues, [&visit](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kMostValues) visit(at, static_cast<int>(std::min(kMostValues, end - at)));
  });
}

}  // namespace

void MapUnary(UnaryVectors kernel, const float* x, int64_t n, float* out) {
  ForParts(n, [=](int64_t at, int count) { kernel(x + at, count, out + at); });
}

void MapBinary(BinaryVectors kernel, const float* x, const float* y, int64_t n, float* out) {
  ForParts(n, [=](int64_t at, int count) { kernel(x + at, y + at, count, out + at); });
}

void NormRows(const KernelTable& table, const Norm& norm, const float* x, float* out) {
  const VectorKernels& kernels = *table.vector;
  OnPool(norm.rows, LeastRows(norm.columns), [&norm, &kernels, x, out](int64_t begin, int64_t end) {
    for (int64_t at = begin * norm.columns; at < end * norm.columns; at += norm.columns) {
      if (norm.centred)
        kernels.layer_norm(x + at, norm.weight, norm.bias, norm.epsilon, norm.columns, out + at);
      else
        kernels.rms_norm(x + at, norm.weight, norm.epsilon, norm.columns, out + at);
    }
  });
}

void NormRowsBackward(const KernelTable& table, const Norm& norm, const float* x, const float* dy, float* dx) {
  const VectorKernels& kernels = *table.vector;
  const auto gradient = norm.centred ? kernels.layer_norm_gradient : kernels.rms_norm_gradient;
  OnPool(norm.rows, LeastRows(norm.columns), [&norm, gradient, x, dy, dx](int64_t begin, int64_t end) {
    for (int64_t at = begin * norm.columns; at < end * norm.columns; at += norm.columns)
      gradient(x + at, norm.weight, dy + at, norm.epsilon, norm.columns, dx + at);
  });
}

void RotateRows(const KernelTable& table, const Rotation& rotation, const float* x, float* out) {
  const auto rotate = table.vector->rope;
  OnPool(rotation.rows, LeastRows(rotation.columns), [&rotation, rotate, x, out](int64_t begin, int64_t end) {
    std::copy(x + begin * rotation.columns, x + end * rotation.columns, out + begin * rotation.columns);
    for (int64_t row = begin; row < end; ++row)
      for (int column = 0; column < rotation.columns; column += rotation.head)
        rotate(out + row * rotation.columns + column, rotation.cos_sin + row * rotation.rotary, rotation.rotary,
               rotation.interleaved ? 1 : 0);
  });
}

void AddBias(const KernelTable& table, const float* bias, int64_t rows, int columns, float* x) {
  const auto add = table.vector->add;
  OnPool(rows, LeastRows(columns), [=](int64_t begin, int64_t end) {
    for (int64_t at = begin * columns; at < end * columns; at += columns) add(x + at, bias, columns, x + at);
  });
}

void SignStep(const float* gradient, float rate, float low, float high, int64_t n, float* values) {
  ForParts(n, [=](int64_t at, int count) {
    for (int64_t i = at; i < at + count; ++i) {
      const float slope = gradient[i];
      const float moved = values[i] + (slope > 0 ? -rate : slope < 0 ? rate : 0);
      values[i] = moved < low ? low : moved > high ? high : moved;
    }
  });
}

void RowProducts(const float* x, const float* y, int64_t rows, int columns, double* products) {
  OnPool(rows, rows * columns < kLeastValues ? rows + 1 : 0, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float *const a = x + row * columns, *const b = y + row * columns;
      constexpr int kSums = 8;  // side by side, since each waits for itself
      double sums[kSums] = {};
      int c = 0;
      for (; c + kSums <= columns; c += kSums)
        for (int i = 0; i < kSums; ++i) sums[i] += double{a[c + i]} * double{b[c + i]};
      double total = 0;
      for (; c < columns; ++c) total += double{a[c]} * double{b[c]};
      for (const double sum : sums) total += sum;
      products[row] = total;
    }
  });
}

void AddMoments(const float* x, int64_t rows, int columns, double* absolute, double* squares) {
  // Each thread has some columns, so that the order of every sum is that of the rows.
  OnPool(columns, rows * columns < kLeastValues ? int64_t{columns} + 1 : 0, [=](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; ++row) {
      const float* const values = x + row * columns;
      for (int64_t c = begin; c < end; ++c) {
        const double value = values[c];
        absolute[c] += value < 0 ? -value : value;
        squares[c] += value * value;
      }
    }
  });
}

}  // namespace llm
