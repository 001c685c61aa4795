#include <algorithm>
#include <string_view>
#include <vector>

#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "cpu/features.h"
#include "kernels/select.h"
#include "kernels/vector_kernels.h"

namespace llm {
namespace {

struct UnaryKernel {
  std::string_view name;
  void (*VectorKernels::*kernel)(const float* x, int n, float* out);
};
constexpr UnaryKernel kUnary[] = {
    {"silu", &VectorKernels::silu}, {"gelu", &VectorKernels::gelu}, {"geluTanh", &VectorKernels::gelu_tanh},
    {"relu", &VectorKernels::relu}, {"exp", &VectorKernels::exp},   {"tanh", &VectorKernels::tanh},
};

struct BinaryKernel {
  std::string_view name;
  void (*VectorKernels::*kernel)(const float* a, const float* b, int n, float* out);
};
constexpr BinaryKernel kBinary[] = {
    {"add", &VectorKernels::add},          {"mul", &VectorKernels::mul},
    {"siluMul", &VectorKernels::silu_mul}, {"geluMul", &VectorKernels::gelu_mul},
    {"reluMul", &VectorKernels::relu_mul}, {"geluTanhMul", &VectorKernels::gelu_tanh_mul},
};

struct ReducingKernel {
  std::string_view name;
  float (*kernel)(const VectorKernels& kernels, const float* x, int n);
};
constexpr ReducingKernel kReducing[] = {
    {"max", [](const VectorKernels& k, const float* x, int n) { return k.max(x, n); }},
    {"sum", [](const VectorKernels& k, const float* x, int n) { return k.sum(x, n); }},
    {"argmax", [](const VectorKernels& k, const float* x, int n) { return static_cast<float>(k.argmax(x, n)); }},
    {"allFinite", [](const VectorKernels& k, const float* x, int n) { return k.all_finite(x, n) ? 1.0f : 0.0f; }},
};

// The table that argument `index` names, or null after throwing.
const VectorKernels* ReadKernels(const Napi::CallbackInfo& info, size_t index) {
  const KernelTable* table = FindKernels(info[index].As<Napi::String>().Utf8Value(), HostCpu());
  if (table == nullptr) Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no such kernels");
  return table == nullptr ? nullptr : table->vector;
}

template <class Entry, size_t count>
const Entry* Find(const Entry (&entries)[count], std::string_view name) {
  for (const Entry& entry : entries)
    if (entry.name == name) return &entry;
  return nullptr;
}

int64_t Length(const Napi::Value& array) {
  return array.IsTypedArray() ? static_cast<int64_t>(array.As<Napi::TypedArray>().ElementLength()) : 0;
}

float Number(const Napi::Value& value) { return value.As<Napi::Number>().FloatValue(); }

// (isa, name, x, y or undefined, out): any function of one or two vectors; x may be out
Napi::Value MapVectors(const Napi::CallbackInfo& info) {
  const VectorKernels* kernels = ReadKernels(info, 0);
  if (kernels == nullptr) return {};
  const std::string name = info[1].As<Napi::String>().Utf8Value();
  const UnaryKernel* unary = Find(kUnary, name);
  const BinaryKernel* binary = Find(kBinary, name);
  if (unary == nullptr && binary == nullptr) return Fail(info.Env(), "INVALID_ARGUMENT", "no kernel " + name);
  const int64_t n = Length(info[2]);
  float *x, *y, *out;
  if (!ReadArray(info, 2, n, true, "x", &x) || !ReadArray(info, 3, n, binary != nullptr, "y", &y) ||
      !ReadArray(info, 4, n, true, "out", &out))
    return {};
  if (unary != nullptr)
    (kernels->*unary->kernel)(x, static_cast<int>(n), out);
  else
    (kernels->*binary->kernel)(x, y, static_cast<int>(n), out);
  return {};
}

// (isa, name, x): number
Napi::Value ReduceVector(const Napi::CallbackInfo& info) {
  const VectorKernels* kernels = ReadKernels(info, 0);
  if (kernels == nullptr) return {};
  const std::string name = info[1].As<Napi::String>().Utf8Value();
  const ReducingKernel* reducing = Find(kReducing, name);
  if (reducing == nullptr) return Fail(info.Env(), "INVALID_ARGUMENT", "no kernel " + name);
  const int64_t n = Length(info[2]);
  float* x;
  if (!ReadArray(info, 2, n, true, "x", &x)) return {};
  return Napi::Number::New(info.Env(), reducing->kernel(*kernels, x, static_cast<int>(n)));
}

// (isa, name, x, a, b, out): functions of a vector and one or two numbers
Napi::Value MapWithNumbers(const Napi::CallbackInfo& info) {
  const VectorKernels* kernels = ReadKernels(info, 0);
  if (kernels == nullptr) return {};
  const std::string name = info[1].As<Napi::String>().Utf8Value();
  const int n = static_cast<int>(Length(info[2]));
  const float a = Number(info[3]), b = Number(info[4]);
  float *x, *out;
  if (!ReadArray(info, 2, n, true, "x", &x) || !ReadArray(info, 5, n, true, "out", &out)) return {};
  if (name == "scale") {
    kernels->scale(x, a, n, out);
  } else if (name == "softcap") {
    kernels->softcap(x, a, n, out);
  } else if (name == "clamp") {
    kernels->clamp(x, a, b, n, out);
  } else if (name == "axpy") {
    kernels->axpy(x, a, n, out);
  } else if (name == "expSum") {
    return Napi::Number::New(info.Env(), kernels->exp_sum(x, a, b, n, out));
  } else {
    return Fail(info.Env(), "INVALID_ARGUMENT", "no kernel " + name);
  }
  return {};
}

// (isa, x, weight, bias or undefined, layer, epsilon, out): every row of weight's length
Napi::Value NormRows(const Napi::CallbackInfo& info) {
  const VectorKernels* kernels = ReadKernels(info, 0);
  if (kernels == nullptr) return {};
  const int64_t all = Length(info[1]), n = Length(info[2]);
  const bool layer = info[4].As<Napi::Boolean>().Value();
  if (n == 0 || all % n != 0) return Fail(info.Env(), "SHAPE_MISMATCH", "x must have whole rows of weight's length");
  float *x, *weight, *bias, *out;
  if (!ReadArray(info, 1, all, true, "x", &x) || !ReadArray(info, 2, n, true, "weight", &weight) ||
      !ReadArray(info, 3, n, !info[3].IsUndefined(), "bias", &bias) || !ReadArray(info, 6, all, true, "out", &out))
    return {};
  const float epsilon = Number(info[5]);
  for (int64_t row = 0; row < all; row += n) {
    if (layer)
      kernels->layer_norm(x + row, weight, bias, epsilon, static_cast<int>(n), out + row);
    else
      kernels->rms_norm(x + row, weight, epsilon, static_cast<int>(n), out + row);
  }
  return {};
}

// (isa, heads, headDim, cosSin, interleaved): every head in place
Napi::Value RopeHeads(const Napi::CallbackInfo& info) {
  const VectorKernels* kernels = ReadKernels(info, 0);
  if (kernels == nullptr) return {};
  const int64_t all = Length(info[1]), head = info[2].As<Napi::Number>().Int64Value(), rotary = Length(info[3]);
  if (head <= 0 || all % head != 0 || rotary > head || rotary % 2 != 0)
    return Fail(info.Env(), "SHAPE_MISMATCH", "heads, their size and the angles do not fit together");
  float *heads, *cos_sin;
  if (!ReadArray(info, 1, all, true, "heads", &heads) || !ReadArray(info, 3, rotary, true, "cosSin", &cos_sin))
    return {};
  const int interleaved = info[4].As<Napi::Boolean>().Value() ? 1 : 0;
  for (int64_t at = 0; at < all; at += head) kernels->rope(heads + at, cos_sin, static_cast<int>(rotary), interleaved);
  return {};
}

// (isa, x, threshold): the indices of values >= threshold
Napi::Value IndicesAtLeast(const Napi::CallbackInfo& info) {
  const VectorKernels* kernels = ReadKernels(info, 0);
  if (kernels == nullptr) return {};
  const int64_t n = Length(info[1]);
  float* x;
  if (!ReadArray(info, 1, n, true, "x", &x)) return {};
  std::vector<int32_t> found(static_cast<size_t>(n));
  const int count = kernels->at_least(x, Number(info[2]), static_cast<int>(n), found.data(), static_cast<int>(n));
  Napi::Int32Array indices = Napi::Int32Array::New(info.Env(), static_cast<size_t>(count));
  std::copy_n(found.data(), count, indices.Data());
  return indices;
}

}  // namespace

void DefineVector(Napi::Env env, Napi::Object exports) {
  exports.Set("mapVectors", Napi::Function::New(env, MapVectors, "mapVectors"));
  exports.Set("mapWithNumbers", Napi::Function::New(env, MapWithNumbers, "mapWithNumbers"));
  exports.Set("reduceVector", Napi::Function::New(env, ReduceVector, "reduceVector"));
  exports.Set("normRows", Napi::Function::New(env, NormRows, "normRows"));
  exports.Set("ropeHeads", Napi::Function::New(env, RopeHeads, "ropeHeads"));
  exports.Set("indicesAtLeast", Napi::Function::New(env, IndicesAtLeast, "indicesAtLeast"));
}

}  // namespace llm
