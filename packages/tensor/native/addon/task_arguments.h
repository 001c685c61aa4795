// Reading the arguments of calls that work in the background.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "addon/failure.h"
#include "cpu/features.h"
#include "kernels/select.h"

namespace llm {

// Reads a call's arguments one after another. The first that does not fit throws into JavaScript and ends the call.
class TaskArguments {
 public:
  explicit TaskArguments(const Napi::CallbackInfo& info) : info_(info) {}

  bool failed() const { return failed_; }
  const std::vector<Napi::Value>& arrays() const { return arrays_; }

  const KernelTable* Table() {
    const Napi::Value isa = info_[next_++];
    const KernelTable* const table =
        isa.IsString() ? FindKernels(isa.As<Napi::String>().Utf8Value(), HostCpu()) : nullptr;
    if (table == nullptr) Reject("UNSUPPORTED_ISA", "this CPU has no kernels of that name");
    return table;
  }

  int Size() {
    const Napi::Value value = info_[next_++];
    const int size = value.IsNumber() ? value.As<Napi::Number>().Int32Value() : 0;
    if (size < 1) Reject("INVALID_ARGUMENT", "a size is not positive");
    return size;
  }

  double Number() {
    const Napi::Value value = info_[next_++];
    return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  }

  bool Flag() {
    const Napi::Value value = info_[next_++];
    return value.IsBoolean() && value.As<Napi::Boolean>().Value();
  }

  std::string Text() {
    const Napi::Value value = info_[next_++];
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  }

  // Elements of the array that comes next; 0 if it is none.
  int64_t NextLength() const {
    const Napi::Value value = info_[next_];
    return value.IsTypedArray() ? static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength()) : 0;
  }

  bool NextIsDouble() const {
    const Napi::Value value = info_[next_];
    return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array;
  }

  template <typename T>
  T* Array(int64_t length) {
    const Napi::Value value = info_[next_++];
    constexpr napi_typedarray_type kType = std::is_same_v<T, double>    ? napi_float64_array
                                           : std::is_same_v<T, int32_t> ? napi_int32_array
                                           : std::is_same_v<T, uint8_t> ? napi_uint8_array
                                                                        : napi_float32_array;
    if (failed_) return nullptr;
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != kType ||
        static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength()) != length) {
      RejectShape();
      return nullptr;
    }
    arrays_.push_back(value);
    return value.As<Napi::TypedArrayOf<T>>().Data();
  }

  void RejectShape() { Reject("SHAPE_MISMATCH", "an array is not of the length or type that its matrix needs"); }

  template <typename T>
  T* OptionalArray(int64_t length) {
    if (!info_[next_].IsUndefined()) return Array<T>(length);
    ++next_;
    return nullptr;
  }

  float* OptionalFloats(int64_t length) { return OptionalArray<float>(length); }

 private:
  void Reject(const char* code, const char* message) {
    if (!failed_) Fail(info_.Env(), code, message);
    failed_ = true;
  }

  const Napi::CallbackInfo& info_;
  size_t next_ = 0;
  bool failed_ = false;
  std::vector<Napi::Value> arrays_;
};

}  // namespace llm
