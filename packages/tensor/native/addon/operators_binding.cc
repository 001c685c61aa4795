// Arguments have been checked by src/operators/native.ts; what would corrupt memory is checked again.
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "addon/background.h"
#include "addon/bindings.h"
#include "addon/task_arguments.h"
#include "blas/compensate.h"
#include "kernels/vector_kernels.h"
#include "operators/causal_attention.h"
#include "operators/rows.h"

namespace llm {
namespace {

struct NamedUnary {
  std::string_view name;
  UnaryVectors VectorKernels::* kernel;
};
constexpr NamedUnary kUnary[] = {
    {"silu", &VectorKernels::silu},
    {"gelu", &VectorKernels::gelu},
    {"geluTanh", &VectorKernels::gelu_tanh},
    {"relu", &VectorKernels::relu},
};

struct NamedBinary {
  std::string_view name;
  BinaryVectors VectorKernels::* kernel;
};
constexpr NamedBinary kBinary[] = {
    {"add", &VectorKernels::add},
    {"mul", &VectorKernels::mul},
    {"siluGradient", &VectorKernels::silu_gradient},
    {"geluGradient", &VectorKernels::gelu_gradient},
    {"geluTanhGradient", &VectorKernels::gelu_tanh_gradient},
    {"reluGradient", &VectorKernels::relu_gradient},
};

template <class Entry, size_t count>
const Entry* Find(const Entry (&entries)[count], std::string_view name) {
  for (const Entry& entry : entries)
    if (entry.name == name) return &entry;
  return nullptr;
}

template <typename Work>
Napi::Value Start(const Napi::CallbackInfo& info, const TaskArguments& arguments, const Work& work) {
  if (arguments.failed()) return {};
  return RunInBackground(info.Env(), arguments.arrays(), [work]() -> TaskFailure {
    work();
    return {};
  });
}

// (isa, name, x, y or undefined, out): promise; out may be x
Napi::Value MapValues(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const std::string name = arguments.Text();
  const NamedUnary* const unary = Find(kUnary, name);
  const NamedBinary* const binary = Find(kBinary, name);
  if (unary == nullptr && binary == nullptr) return Fail(info.Env(), "INVALID_ARGUMENT", "no kernel " + name);
  const int64_t n = arguments.NextLength();
  const float* const x = arguments.Array<float>(n);
  const float* const y = binary == nullptr ? arguments.OptionalFloats(n) : arguments.Array<float>(n);
  float* const out = arguments.Array<float>(n);
  return Start(info, arguments, [=] {
    if (unary != nullptr)
      MapUnary(table->vector->*unary->kernel, x, n, out);
    else
      MapBinary(table->vector->*binary->kernel, x, y, n, out);
  });
}

struct NormArguments {
  Norm norm{};
  const float* x = nullptr;
};

NormArguments ReadNorm(TaskArguments& arguments) {
  NormArguments it;
  it.norm.centred = arguments.Flag();
  it.norm.epsilon = static_cast<float>(arguments.Number());
  const int64_t all = arguments.NextLength();
  it.x = arguments.Array<float>(all);
  it.norm.columns = static_cast<int>(arguments.NextLength());
  if (it.norm.columns < 1 || all % it.norm.columns != 0) arguments.RejectShape();
  it.norm.rows = it.norm.columns < 1 ? 0 : all / it.norm.columns;
  it.norm.weight = arguments.Array<float>(it.norm.columns);
  return it;
}

// (isa, centred, epsilon, x, weight, bias or undefined, out): promise
Napi::Value NormRowsCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  NormArguments it = ReadNorm(arguments);
  it.norm.bias = arguments.OptionalFloats(it.norm.columns);
  float* const out = arguments.Array<float>(it.norm.rows * it.norm.columns);
  return Start(info, arguments, [=] { NormRows(*table, it.norm, it.x, out); });
}

// (isa, centred, epsilon, x, weight, dy, dx): promise
Napi::Value NormRowsBackwardCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const NormArguments it = ReadNorm(arguments);
  const int64_t all = it.norm.rows * it.norm.columns;
  const float* const dy = arguments.Array<float>(all);
  float* const dx = arguments.Array<float>(all);
  return Start(info, arguments, [=] { NormRowsBackward(*table, it.norm, it.x, dy, dx); });
}

// (isa, rows, columns, head, rotary, interleaved, cosSin, x, out): promise
Napi::Value RotateRowsCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  Rotation rotation{};
  rotation.rows = arguments.Size();
  rotation.columns = arguments.Size();
  rotation.head = arguments.Size();
  rotation.rotary = arguments.Size();
  if (!arguments.failed() &&
      (rotation.columns % rotation.head != 0 || rotation.rotary > rotation.head || rotation.rotary % 2 != 0))
    arguments.RejectShape();
  rotation.interleaved = arguments.Flag();
  rotation.cos_sin = arguments.Array<float>(rotation.rows * rotation.rotary);
  const float* const x = arguments.Array<float>(rotation.rows * rotation.columns);
  float* const out = arguments.Array<float>(rotation.rows * rotation.columns);
  return Start(info, arguments, [=] { RotateRows(*table, rotation, x, out); });
}

// (isa, bias, x): promise; x in place
Napi::Value AddBiasCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const int64_t columns = arguments.NextLength();
  const float* const bias = arguments.Array<float>(columns);
  const int64_t all = arguments.NextLength();
  if (columns < 1 || all % columns != 0) arguments.RejectShape();
  float* const x = arguments.Array<float>(all);
  return Start(info, arguments, [=] { AddBias(*table, bias, all / columns, static_cast<int>(columns), x); });
}

// (gradient, rate, low, high, values): promise; values in place
Napi::Value SignStepCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const int64_t n = arguments.NextLength();
  const float* const gradient = arguments.Array<float>(n);
  const auto rate = static_cast<float>(arguments.Number());
  const auto low = static_cast<float>(arguments.Number()), high = static_cast<float>(arguments.Number());
  float* const values = arguments.Array<float>(n);
  return Start(info, arguments, [=] { SignStep(gradient, rate, low, high, n, values); });
}

// (x, absolute, squares): promise; sums in place
Napi::Value AddMomentsCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const int64_t all = arguments.NextLength();
  const float* const x = arguments.Array<float>(all);
  const int64_t columns = arguments.NextLength();
  if (columns < 1 || all % columns != 0) arguments.RejectShape();
  double* const absolute = arguments.Array<double>(columns);
  double* const squares = arguments.Array<double>(columns);
  return Start(info, arguments, [=] { AddMoments(x, all / columns, static_cast<int>(columns), absolute, squares); });
}

// (x, y, products): promise
Napi::Value RowProductsCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const int64_t all = arguments.NextLength();
  const float* const x = arguments.Array<float>(all);
  const float* const y = arguments.Array<float>(all);
  const int64_t rows = arguments.NextLength();
  if (rows < 1 || all % rows != 0 || all / rows > std::numeric_limits<int>::max()) arguments.RejectShape();
  double* const products = arguments.Array<double>(rows);
  return Start(info, arguments, [=] { RowProducts(x, y, rows, static_cast<int>(all / rows), products); });
}

// (rows, columns, begin, end, stop, block, group, maxCode, live, inverse, correction or undefined, permutation, scales,
//  zeroPoints or undefined, minima or undefined, codes, errors, values or undefined, squares): promise
Napi::Value RoundColumnsCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  Compensation task{};
  task.rows = arguments.Size();
  task.columns = arguments.Size();
  task.begin = static_cast<int>(arguments.Number());
  task.end = static_cast<int>(arguments.Number());
  task.stop = static_cast<int>(arguments.Number());
  task.block = static_cast<int>(arguments.Number());
  task.group = arguments.Size();
  task.max_code = arguments.Size();
  if (arguments.failed()) return {};
  if (task.block < 0 || task.begin < task.block || task.end < task.begin || task.stop < task.end ||
      task.columns < task.stop || task.max_code > 255)
    arguments.RejectShape();
  const int64_t all = int64_t{task.rows} * task.columns, square = int64_t{task.columns} * task.columns;
  const int64_t groups = int64_t{task.rows} * ((task.columns + task.group - 1) / task.group);
  const int64_t block = int64_t{task.rows} * (task.stop - task.block);
  task.live = arguments.Array<float>(all);
  task.inverse = arguments.Array<float>(square);
  task.correction = arguments.OptionalArray<float>(square);
  task.permutation = arguments.Array<int32_t>(task.columns);
  task.scales = arguments.Array<float>(groups);
  task.zero_points = arguments.OptionalArray<uint8_t>(groups);
  task.minima = arguments.OptionalArray<float>(groups);
  task.codes = arguments.Array<uint8_t>(all);
  task.errors = arguments.Array<float>(block);
  task.values = arguments.OptionalArray<float>(block);
  task.squares = arguments.Array<double>(task.rows);
  if (arguments.failed()) return {};
  if ((task.values == nullptr) != (task.correction == nullptr)) arguments.RejectShape();
  for (int i = 0; i < task.columns; ++i)
    if (task.permutation[i] < 0 || task.permutation[i] >= task.columns) arguments.RejectShape();
  return Start(info, arguments, [=] { RoundColumns(task); });
}

struct AttentionArguments {
  CausalAttention task{};
  int64_t queries = 0, keys = 0;  // values of all tokens
};

AttentionArguments ReadAttention(TaskArguments& arguments) {
  AttentionArguments it;
  CausalAttention& task = it.task;
  const int64_t sequences = arguments.NextLength();
  task.sequences = static_cast<int>(sequences);
  task.lengths = arguments.Array<int32_t>(sequences);
  task.heads = arguments.Size();
  task.kv_heads = arguments.Size();
  task.head_dim = arguments.Size();
  task.scale = static_cast<float>(arguments.Number());
  task.window = static_cast<int>(arguments.Number());
  if (arguments.failed()) return it;
  int64_t tokens = 0;
  for (int s = 0; s < task.sequences; ++s) {
    if (task.lengths[s] < 1) arguments.RejectShape();
    tokens += task.lengths[s];
  }
  if (task.heads % task.kv_heads != 0 || !(task.scale > 0) || task.window < 0) arguments.RejectShape();
  it.queries = tokens * task.heads * task.head_dim;
  it.keys = tokens * task.kv_heads * task.head_dim;
  task.q = arguments.Array<float>(it.queries);
  task.k = arguments.Array<float>(it.keys);
  task.v = arguments.Array<float>(it.keys);
  return it;
}

template <typename Work>
Napi::Value StartWithMemory(const Napi::CallbackInfo& info, const TaskArguments& arguments, const Work& work) {
  if (arguments.failed()) return {};
  return RunInBackground(info.Env(), arguments.arrays(), [work] {
    return work() ? TaskFailure{} : TaskFailure{"OUT_OF_MEMORY", "no memory for the scores of attention"};
  });
}

// (isa, lengths, heads, kvHeads, headDim, scale, window, q, k, v, out): promise
Napi::Value CausalAttentionCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const AttentionArguments it = ReadAttention(arguments);
  float* const out = arguments.Array<float>(it.queries);
  return StartWithMemory(info, arguments, [=] { return Attend(*table, it.task, out); });
}

// (isa, lengths, heads, kvHeads, headDim, scale, window, q, k, v, dout, dq, dk, dv): promise
Napi::Value CausalAttentionBackwardCall(const Napi::CallbackInfo& info) {
  TaskArguments arguments(info);
  const KernelTable* const table = arguments.Table();
  const AttentionArguments it = ReadAttention(arguments);
  const float* const dout = arguments.Array<float>(it.queries);
  float* const dq = arguments.Array<float>(it.queries);
  float* const dk = arguments.Array<float>(it.keys);
  float* const dv = arguments.Array<float>(it.keys);
  return StartWithMemory(info, arguments, [=] { return AttendBackward(*table, it.task, dout, dq, dk, dv); });
}

}  // namespace

void DefineOperators(Napi::Env env, Napi::Object exports) {
  exports.Set("mapValues", Napi::Function::New(env, MapValues, "mapValues"));
  exports.Set("normalizeRows", Napi::Function::New(env, NormRowsCall, "normalizeRows"));
  exports.Set("normalizeRowsBackward", Napi::Function::New(env, NormRowsBackwardCall, "normalizeRowsBackward"));
  exports.Set("rotateRows", Napi::Function::New(env, RotateRowsCall, "rotateRows"));
  exports.Set("addBias", Napi::Function::New(env, AddBiasCall, "addBias"));
  exports.Set("signStep", Napi::Function::New(env, SignStepCall, "signStep"));
  exports.Set("addMoments", Napi::Function::New(env, AddMomentsCall, "addMoments"));
  exports.Set("rowProducts", Napi::Function::New(env, RowProductsCall, "rowProducts"));
  exports.Set("roundColumns", Napi::Function::New(env, RoundColumnsCall, "roundColumns"));
  exports.Set("causalAttention", Napi::Function::New(env, CausalAttentionCall, "causalAttention"));
  exports.Set("causalAttentionBackward",
              Napi::Function::New(env, CausalAttentionBackwardCall, "causalAttentionBackward"));
}

}  // namespace llm
