#include "blas/triangular.h"

#include <algorithm>
#include <cmath>

#include "threads/pool.h"

namespace llm {
namespace {

// Matrices of this size are done directly.
constexpr int kBase = 32;

// Where to cut a larger one.
int Half(int n) { return (n / 2 + kBase - 1) / kBase * kBase; }

template <typename T>
int CholeskyBase(T* a, int64_t ld, int n) {
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column <= row; ++column) {
      double sum = a[row * ld + column];
      for (int i = 0; i < column; ++i) sum -= double{a[row * ld + i]} * a[column * ld + i];
      if (column < row)
        a[row * ld + column] = static_cast<T>(sum / a[column * ld + column]);
      else if (sum > 0 && sum < HUGE_VAL)
        a[row * ld + row] = static_cast<T>(std::sqrt(sum));
      else
        return row;
    }
  }
  return kFactored;
}

// Runs `job(begin, end)` on ranges of [0, count) whose borders are multiples of `unit`.
template <typename Job>
void ForRanges(int count, int unit, int64_t work, const Job& job) {
  struct Context {
    const Job* job;
    int count, unit;
  } context{&job, count, unit};
  const Pool::Job part_job = [](void* data, int part, int parts) {
    const Context& it = *static_cast<const Context*>(data);
    const int units = (it.count + it.unit - 1) / it.unit;
    const int begin = static_cast<int>(int64_t{units} * part / parts) * it.unit;
    const int end = std::min(static_cast<int>(int64_t{units} * (part + 1) / parts) * it.unit, it.count);
    if (begin < end) (*it.job)(begin, end);
  };
  constexpr int64_t kWorthwhile = 1 << 18;
  SharedPool().Run(part_job, &context, work < kWorthwhile ? 1 : 0);
}

// x = x L⁻ᵀ for x [rows, n]: each row is a forward substitution of its own.
template <typename T>
void SolveRightBase(const T* l, int64_t ld, int n, T* x, int64_t ldx, int rows) {
  T columns[kBase][kBase];  // columns[i][j] = L[j][i], so that the inner loop runs along memory
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < kBase; ++j) columns[i][j] = j > i && j < n ? l[j * ld + i] : T{0};
  ForRanges(rows, 1, int64_t{rows} * n * n / 2, [&](int begin, int end) {
    for (int row = begin; row < end; ++row) {
      T values[kBase] = {};
      std::copy_n(x + row * ldx, n, values);
      for (int i = 0; i < n; ++i) {
        values[i] /= l[i * ld + i];
        for (int j = 0; j < kBase; ++j) values[j] -= values[i] * columns[i][j];
      }
      std::copy_n(values, n, x + row * ldx);
    }
  });
}

template <typename T>
bool SolveRight(const KernelTable& kernels, Workspace& workspace, const T* l, int64_t ld, int n, T* x, int64_t ldx,
                int rows) {
  if (n <= kBase) {
    SolveRightBase(l, ld, n, x, ldx, rows);
    return true;
  }
  const int half = Half(n);
  const Product<T> join = {.m = rows,
                           .n = n - half,
                           .k = half,
                           .a = {x, ldx, 1},
                           .b = {l + half * ld, 1, ld},
                           .alpha = -1,
                           .beta = 1,
                           .c = x + half,
                           .ldc = ldx};
  return SolveRight(kernels, workspace, l, ld, half, x, ldx, rows) && Multiply(kernels, workspace, join) &&
         SolveRight(kernels, workspace, l + half * ld + half, ld, n - half, x + half, ldx, rows);
}

// The failed row of a second half, seen from the whole.
int Shifted(int row, int half) { return row >= 0 ? row + half : row; }

}  // namespace

template <typename T>
int Cholesky(const KernelTable& kernels, Workspace& workspace, T* a, int64_t ld, int n) {
  if (n <= kBase) return CholeskyBase(a, ld, n);
  const int half = Half(n);
  T* const below = a + half * ld;
  if (const int row = Cholesky(kernels, workspace, a, ld, half); row != kFactored) return row;
  if (!SolveRight(kernels, workspace, a, ld, half, below, ld, n - half)) return kOutOfMemory;
  const Product<T> join = {.m = n - half,
                           .n = n - half,
                           .k = half,
                           .a = {below, ld, 1},
                           .b = {below, 1, ld},
                           .alpha = -1,
                           .beta = 1,
                           .c = below + half,
                           .ldc = ld,
                           .lower = true};
  if (!Multiply(kernels, workspace, join)) return kOutOfMemory;
  return Shifted(Cholesky(kernels, workspace, below + half, ld, n - half), half);
}

template <typename T>
int SolveLower(const KernelTable& kernels, Workspace& workspace, const T* l, int64_t ld, int n, T* b, int64_t ldb,
               int columns) {
  if (n <= kBase) {
    for (int row = 0; row < n; ++row)
      if (l[row * ld + row] == 0) return row;
    ForRanges(columns, 64, int64_t{columns} * n * n / 2, [&](int begin, int end) {
      for (int row = 0; row < n; ++row) {
        T* const x = b + row * ldb;
        for (int i = 0; i < row; ++i) {
          const T factor = l[row * ld + i];
          const T* const above = b + i * ldb;
          for (int j = begin; j < end; ++j) x[j] -= factor * above[j];
        }
        const T pivot = l[row * ld + row];
        for (int j = begin; j < end; ++j) x[j] /= pivot;
      }
    });
    return kFactored;
  }
  const int half = Half(n);
  if (const int row = SolveLower(kernels, workspace, l, ld, half, b, ldb, columns); row != kFactored) return row;
  const Product<T> join = {.m = n - half,
                           .n = columns,
                           .k = half,
                           .a = {l + half * ld, ld, 1},
                           .b = {b, ldb, 1},
                           .alpha = -1,
                           .beta = 1,
                           .c = b + half * ldb,
                           .ldc = ldb};
  if (!Multiply(kernels, workspace, join)) return kOutOfMemory;
  return Shifted(SolveLower(kernels, workspace, l + half * ld + half, ld, n - half, b + half * ldb, ldb, columns),
                 half);
}

template <typename T>
int InvertLower(const KernelTable& kernels, Workspace& workspace, T* l, int64_t ld, int n) {
  if (n <= kBase) {
    for (int row = 0; row < n; ++row)
      if (l[row * ld + row] == 0) return row;
    for (int column = 0; column < n; ++column) {
      l[column * ld + column] = 1 / l[column * ld + column];
      for (int row = column + 1; row < n; ++row) {
        double sum = 0;
        for (int i = column; i < row; ++i) sum += double{l[row * ld + i]} * l[i * ld + column];
        l[row * ld + column] = static_cast<T>(-sum / l[row * ld + row]);
      }
    }
    return kFactored;
  }
  // The inverse of [A 0; B C] is [A⁻¹ 0; -C⁻¹ B A⁻¹ C⁻¹].
  const int half = Half(n), rest = n - half;
  T *const below = l + half * ld, *const corner = below + half;
  if (const int row = InvertLower(kernels, workspace, l, ld, half); row != kFactored) return row;
  if (const int row = InvertLower(kernels, workspace, corner, ld, rest); row != kFactored) return row + half;
  const std::shared_ptr<Memory> memory = AllocateMemory(sizeof(T) * rest * half);
  if (memory == nullptr) return kOutOfMemory;
  T* const product = reinterpret_cast<T*>(memory->data());
  const Product<T> first = {
      .m = rest, .n = half, .k = half, .a = {below, ld, 1}, .b = {l, ld, 1}, .c = product, .ldc = half};
  const Product<T> second = {.m = rest,
                             .n = half,
                             .k = rest,
                             .a = {corner, ld, 1},
                             .b = {product, half, 1},
                             .alpha = -1,
                             .c = below,
                             .ldc = ld};
  return Multiply(kernels, workspace, first) && Multiply(kernels, workspace, second) ? kFactored : kOutOfMemory;
}

template int Cholesky(const KernelTable&, Workspace&, float*, int64_t, int);
template int Cholesky(const KernelTable&, Workspace&, double*, int64_t, int);
template int SolveLower(const KernelTable&, Workspace&, const float*, int64_t, int, float*, int64_t, int);
template int SolveLower(const KernelTable&, Workspace&, const double*, int64_t, int, double*, int64_t, int);
template int InvertLower(const KernelTable&, Workspace&, float*, int64_t, int);
template int InvertLower(const KernelTable&, Workspace&, double*, int64_t, int);

}  // namespace llm
