// Arguments have been checked by src/blas.ts; what would corrupt memory is checked again.
#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "addon/background.h"
#include "addon/bindings.h"
#include "addon/task_arguments.h"
#include "blas/fake_quantize.h"
#include "blas/gemm.h"
#include "blas/triangular.h"

namespace llm {
namespace {

// Used by the background thread alone.
Workspace& SharedWorkspace() {
  static Workspace* const workspace = new Workspace;
  return *workspace;
}

TaskFailure OutOfMemory() { return {"OUT_OF_MEMORY", "no memory for packed operands"}; }

TaskFailure PivotFailure(int row) {
  if (row == kFactored) return {};
  if (row == kOutOfMemory) return OutOfMemory();
  return {"SINGULAR_MATRIX", "a pivot is not usable", static_cast<double>(row)};
}

// (isa, m, n, k, a, transposeA, b, transposeB, alpha, beta, c): promise
Napi::Value GemmCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const int m = arguments.Size(), n = arguments.Size(), k = arguments.Size();
  const float* const a = arguments.Array<float>(int64_t{m} * k);
  const bool transpose_a = arguments.Flag();
  const float* const b = arguments.Array<float>(int64_t{k} * n);
  const bool transpose_b = arguments.Flag();
  const auto alpha = static_cast<float>(arguments.Number()), beta = static_cast<float>(arguments.Number());
  float* const c = arguments.Array<float>(int64_t{m} * n);
  if (arguments.failed()) return {};

  const MatrixView<float> left = transpose_a ? MatrixView<float>{a, 1, m} : MatrixView<float>{a, k, 1};
  const MatrixView<float> right = transpose_b ? MatrixView<float>{b, 1, k} : MatrixView<float>{b, n, 1};
  const Product<float> product = {
      .m = m, .n = n, .k = k, .a = left, .b = right, .alpha = alpha, .beta = beta, .c = c, .ldc = n};
  const auto work = [table, product]() -> TaskFailure {
    return Multiply(*table, SharedWorkspace(), product) ? TaskFailure{} : OutOfMemory();
  };
  return RunInBackground(info.Env(), arguments.arrays(), work);
}

// (isa, n, k, a, transpose, alpha, beta, c): promise
Napi::Value SyrkCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const int n = arguments.Size(), k = arguments.Size();
  const float* const a = arguments.Array<float>(int64_t{n} * k);
  const bool transpose = arguments.Flag();
  const auto alpha = static_cast<float>(arguments.Number()), beta = static_cast<float>(arguments.Number());
  float* const c = arguments.Array<float>(int64_t{n} * n);
  if (arguments.failed()) return {};

  const MatrixView<float> left = transpose ? MatrixView<float>{a, 1, n} : MatrixView<float>{a, k, 1};
  const Product<float> product = {.m = n,
                                  .n = n,
                                  .k = k,
                                  .a = left,
                                  .b = left.Transposed(),
                                  .alpha = alpha,
                                  .beta = beta,
                                  .c = c,
                                  .ldc = n,
                                  .lower = true};
  const auto work = [table, product]() -> TaskFailure {
    if (!Multiply(*table, SharedWorkspace(), product)) return OutOfMemory();
    MirrorLower(product.c, product.ldc, product.n);
    return {};
  };
  return RunInBackground(info.Env(), arguments.arrays(), work);
}

template <typename T>
void ClearUpper(T* a, int n) {
  for (int row = 0; row < n; ++row)
    for (int column = row + 1; column < n; ++column) a[int64_t{row} * n + column] = 0;
}

template <typename T>
void TransposeInPlace(T* a, int n) {
  constexpr int kBlock = 32;
  for (int down = 0; down < n; down += kBlock)
    for (int across = 0; across <= down; across += kBlock)
      for (int row = down; row < std::min(down + kBlock, n); ++row)
        for (int column = across; column < std::min(across + kBlock, row); ++column)
          std::swap(a[int64_t{row} * n + column], a[int64_t{column} * n + row]);
}

enum class Factorization { kCholesky, kInvertTriangular, kInvertSymmetric };

// In place. `upper`: of the factor, or of the triangle to invert.
template <typename T>
int Factorize(const KernelTable& table, Factorization kind, bool upper, T* a, int n) {
  Workspace& workspace = SharedWorkspace();
  if (kind == Factorization::kInvertTriangular) {
    if (upper) TransposeInPlace(a, n);
  } else if (const int row = Cholesky(table, workspace, a, n, n); row != kFactored) {
    return row;
  }
  ClearUpper(a, n);
  if (kind != Factorization::kCholesky)
    if (const int row = InvertLower(table, workspace, a, n, n); row != kFactored) return row;
  if (kind != Factorization::kInvertSymmetric) {
    if (upper) TransposeInPlace(a, n);
    return kFactored;
  }

  const std::shared_ptr<Memory> inverse = AllocateMemory(sizeof(T) * n * n);
  if (inverse == nullptr) return kOutOfMemory;
  T* const c = reinterpret_cast<T*>(inverse->data());
  const MatrixView<T> lower{a, n, 1};
  const Product<T> product = {
      .m = n, .n = n, .k = n, .a = lower.Transposed(), .b = lower, .c = c, .ldc = n, .lower = true};
  if (!Multiply(table, workspace, product)) return kOutOfMemory;
  MirrorLower(c, n, n);
  std::copy_n(c, int64_t{n} * n, a);
  return kFactored;
}

// (isa, n, a, upper): promise; in place
template <Factorization kind>
Napi::Value FactorizeCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const int n = arguments.Size();
  const int64_t length = int64_t{n} * n;
  const bool is_double = arguments.NextIsDouble();
  double* const doubles = is_double ? arguments.Array<double>(length) : nullptr;
  float* const floats = is_double ? nullptr : arguments.Array<float>(length);
  const bool upper = arguments.Flag();
  if (arguments.failed()) return {};
  const auto work = [=] {
    return PivotFailure(is_double ? Factorize(*table, kind, upper, doubles, n)
                                  : Factorize(*table, kind, upper, floats, n));
  };
  return RunInBackground(info.Env(), arguments.arrays(), work);
}

template <typename T>
void ReverseRows(T* b, int n, int columns) {
  for (int row = 0; row < n / 2; ++row)
    std::swap_ranges(b + int64_t{row} * columns, b + int64_t{row + 1} * columns, b + int64_t{n - 1 - row} * columns);
}

// Every case is a lower triangle, after transposing it or after numbering rows and columns from the other end.
template <typename T>
int Solve(const KernelTable& table, const T* a, bool upper, bool transpose, int n, T* b, int columns) {
  const bool backward = upper != transpose;
  const std::shared_ptr<Memory> memory = AllocateMemory(sizeof(T) * n * n);
  if (memory == nullptr) return kOutOfMemory;
  T* const lower = reinterpret_cast<T*>(memory->data());
  const T* const origin = backward ? a + int64_t{n} * n - 1 : a;
  const int64_t row_step = (transpose ? 1 : n) * (backward ? -1 : 1), step = (transpose ? n : 1) * (backward ? -1 : 1);
  for (int row = 0; row < n; ++row)
    for (int column = 0; column <= row; ++column)
      lower[int64_t{row} * n + column] = origin[row * row_step + column * step];

  if (backward) ReverseRows(b, n, columns);
  const int row = SolveLower(table, SharedWorkspace(), lower, n, n, b, columns, columns);
  if (backward) ReverseRows(b, n, columns);
  return row >= 0 && backward ? n - 1 - row : row;
}

// (isa, n, columns, a, upper, transpose, b): promise; b in place
Napi::Value SolveCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const int n = arguments.Size(), columns = arguments.Size();
  const bool is_double = arguments.NextIsDouble();
  const auto make = [&]<typename T>(T) -> std::function<TaskFailure()> {
    const T* const a = arguments.Array<T>(int64_t{n} * n);
    const bool upper = arguments.Flag(), transpose = arguments.Flag();
    T* const b = arguments.Array<T>(int64_t{n} * columns);
    return [=] { return PivotFailure(Solve(*table, a, upper, transpose, n, b, columns)); };
  };
  const std::function<TaskFailure()> work = is_double ? make(double{}) : make(float{});
  if (arguments.failed()) return {};
  return RunInBackground(info.Env(), arguments.arrays(), work);
}

FakeQuantization ReadFakeQuantization(TaskArguments& arguments) {
  FakeQuantization task{};
  task.rows = arguments.Size();
  task.columns = arguments.Size();
  task.bits = arguments.Size();
  task.group = arguments.Size();
  task.symmetric = arguments.Flag();
  if (arguments.failed()) return task;
  const int64_t elements = int64_t{task.rows} * task.columns, groups = int64_t{task.rows} * task.Groups();
  task.weights = arguments.Array<float>(elements);
  task.rounding = arguments.OptionalFloats(elements);
  task.minimum_scale = arguments.OptionalFloats(groups);
  task.maximum_scale = arguments.OptionalFloats(groups);
  return task;
}

// (rows, columns, bits, group, symmetric, weights, rounding, minimumScale, maximumScale, out): promise
Napi::Value FakeQuantizeCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const FakeQuantization task = ReadFakeQuantization(arguments);
  float* const out = arguments.Array<float>(int64_t{task.rows} * task.columns);
  if (arguments.failed()) return {};
  const auto work = [task, out]() -> TaskFailure {
    FakeQuantize(task, out);
    return {};
  };
  return RunInBackground(info.Env(), arguments.arrays(), work);
}

// (..., columnScale or undefined, out): promise
Napi::Value RoundingErrorsCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const FakeQuantization task = ReadFakeQuantization(arguments);
  if (arguments.failed()) return {};
  const float* const column_scale = arguments.OptionalFloats(task.columns);
  float* const out = arguments.Array<float>(int64_t{task.rows} * task.columns);
  if (arguments.failed()) return {};
  const auto work = [=]() -> TaskFailure {
    RoundingErrors(task, column_scale, out);
    return {};
  };
  return RunInBackground(info.Env(), arguments.arrays(), work);
}

// (..., gradient, ofRounding, ofMinimumScale, ofMaximumScale): promise
Napi::Value FakeQuantizeBackwardCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const FakeQuantization task = ReadFakeQuantization(arguments);
  if (arguments.failed()) return {};
  const int64_t elements = int64_t{task.rows} * task.columns, groups = int64_t{task.rows} * task.Groups();
  const float* const gradient = arguments.Array<float>(elements);
  float* const of_rounding = arguments.Array<float>(elements);
  float* const of_minimum_scale = arguments.Array<float>(groups);
  float* const of_maximum_scale = arguments.Array<float>(groups);
  if (arguments.failed()) return {};
  const auto work = [=]() -> TaskFailure {
    FakeQuantizeBackward(task, gradient, of_rounding, of_minimum_scale, of_maximum_scale);
    return {};
  };
  return RunInBackground(info.Env(), arguments.arrays(), work);
}

}  // namespace

void DefineBlas(Napi::Env env, Napi::Object exports) {
  exports.Set("gemm", Napi::Function::New(env, GemmCall, "gemm"));
  exports.Set("syrk", Napi::Function::New(env, SyrkCall, "syrk"));
  exports.Set("cholesky", Napi::Function::New(env, FactorizeCall<Factorization::kCholesky>, "cholesky"));
  exports.Set("invertTriangular",
              Napi::Function::New(env, FactorizeCall<Factorization::kInvertTriangular>, "invertTriangular"));
  exports.Set("invertSymmetric",
              Napi::Function::New(env, FactorizeCall<Factorization::kInvertSymmetric>, "invertSymmetric"));
  exports.Set("solveTriangular", Napi::Function::New(env, SolveCall, "solveTriangular"));
  exports.Set("fakeQuantize", Napi::Function::New(env, FakeQuantizeCall, "fakeQuantize"));
  exports.Set("roundingErrors", Napi::Function::New(env, RoundingErrorsCall, "roundingErrors"));
  exports.Set("fakeQuantizeBackward", Napi::Function::New(env, FakeQuantizeBackwardCall, "fakeQuantizeBackward"));
}

}  // namespace llm
