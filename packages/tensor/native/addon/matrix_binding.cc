#include <cstring>

#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "addon/matrix_handle.h"
#include "addon/storage_handle.h"

namespace llm {
namespace {

constexpr napi_type_tag kMatrixTag = {0x6c6c6d2e4d617472, 0x69784e6174697665};

// (format, rows, columns, groupSize): number
Napi::Value MatrixByteLength(const Napi::CallbackInfo& info) {
  Weight weight;
  if (!ReadWeight(info, 0, &weight)) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(WeightBytes(weight)));
}

// (storage, offset, format, rows, columns, groupSize): handle
Napi::Value CreateMatrix(const Napi::CallbackInfo& info) {
  Weight weight;
  if (!ReadWeight(info, 2, &weight)) return {};
  const double offset = info[1].As<Napi::Number>().DoubleValue();
  std::shared_ptr<Memory> memory = CheckedBytes(info.Env(), info[0], offset, static_cast<double>(WeightBytes(weight)));
  if (memory == nullptr) return {};
  weight.data = memory->data() + static_cast<size_t>(offset);
  if (IsPacked(weight.format) && reinterpret_cast<uintptr_t>(weight.data) % kLine != 0)
    return Fail(info.Env(), "INVALID_ARGUMENT", "a packed matrix must start at a multiple of 64 bytes");
  auto* const handle = new MatrixHandle{weight, std::move(memory)};
  const auto external =
      Napi::External<MatrixHandle>::New(info.Env(), handle, [](Napi::Env, MatrixHandle* data) { delete data; });
  external.TypeTag(&kMatrixTag);
  return external;
}

// (handle, offset, target: Uint8Array): bytes as they are stored
Napi::Value ReadMatrix(const Napi::CallbackInfo& info) {
  const Weight* const weight = UnwrapMatrix(info[0]);
  if (weight == nullptr) return {};
  if (!info[2].IsTypedArray()) return Fail(info.Env(), "INVALID_ARGUMENT", "the target is no Uint8Array");
  auto target = info[2].As<Napi::Uint8Array>();
  const double offset = info[1].As<Napi::Number>().DoubleValue(), size = static_cast<double>(target.ByteLength());
  if (!(offset >= 0 && offset + size <= static_cast<double>(WeightBytes(*weight))))
    return Fail(info.Env(), "INVALID_ARGUMENT", "the matrix does not have these bytes");
  std::memcpy(target.Data(), weight->data + static_cast<size_t>(offset), target.ByteLength());
  return {};
}

// (handle, rowBegin, rowEnd, target: Float32Array)
Napi::Value DequantizeMatrix(const Napi::CallbackInfo& info) {
  const Weight* const weight = UnwrapMatrix(info[0]);
  if (weight == nullptr) return {};
  const int64_t begin = info[1].As<Napi::Number>().Int64Value(), end = info[2].As<Napi::Number>().Int64Value();
  if (begin < 0 || end < begin || end > weight->rows)
    return Fail(info.Env(), "INVALID_ARGUMENT", "the matrix has " + std::to_string(weight->rows) + " rows");
  float* target;
  if (!ReadArray(info, 3, (end - begin) * weight->columns, true, "the target", &target)) return {};
  DequantizeRows(*weight, begin, end, target);
  return {};
}

// (handle)
Napi::Value DisposeMatrix(const Napi::CallbackInfo& info) {
  // Not UnwrapMatrixHandle: a matrix may be disposed of twice.
  if (info[0].IsExternal()) info[0].As<Napi::External<MatrixHandle>>().Data()->memory.reset();
  return {};
}

}  // namespace

const MatrixHandle* UnwrapMatrixHandle(Napi::Value value) {
  if (value.IsExternal()) {
    const auto external = value.As<Napi::External<MatrixHandle>>();
    if (external.CheckTypeTag(&kMatrixTag)) {
      const MatrixHandle* const handle = external.Data();
      if (handle->memory != nullptr) return handle;
      Fail(value.Env(), "DISPOSED", "matrix");
      return nullptr;
    }
  }
  Fail(value.Env(), "INVALID_ARGUMENT", "this is no matrix handle");
  return nullptr;
}

const Weight* UnwrapMatrix(Napi::Value value) {
  const MatrixHandle* const handle = UnwrapMatrixHandle(value);
  return handle == nullptr ? nullptr : &handle->weight;
}

void DefineMatrix(Napi::Env env, Napi::Object exports) {
  exports.Set("matrixByteLength", Napi::Function::New(env, MatrixByteLength, "matrixByteLength"));
  exports.Set("createMatrix", Napi::Function::New(env, CreateMatrix, "createMatrix"));
  exports.Set("readMatrix", Napi::Function::New(env, ReadMatrix, "readMatrix"));
  exports.Set("dequantizeMatrix", Napi::Function::New(env, DequantizeMatrix, "dequantizeMatrix"));
  exports.Set("disposeMatrix", Napi::Function::New(env, DisposeMatrix, "disposeMatrix"));
}

}  // namespace llm
