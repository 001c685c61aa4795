// The arguments (format, rows, columns, groupSize) of several calls.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

#include "addon/failure.h"
#include "kernels/matmul.h"
#include "packing/format_names.h"

namespace llm {

// Without data; false after throwing if there is no such matrix. A groupSize of 0 is the whole row.
inline bool ReadWeight(const Napi::CallbackInfo& info, size_t first, Weight* weight) {
  const std::string format = info[first].As<Napi::String>().Utf8Value();
  const double rows = info[first + 1].As<Napi::Number>().DoubleValue();
  const double columns = info[first + 2].As<Napi::Number>().DoubleValue();
  const double group = info[first + 3].As<Napi::Number>().DoubleValue();
  constexpr double kLimit = 2147483647;
  *weight = {};
  if (FindFormat(format, &weight->format) && rows >= 1 && rows <= kLimit && columns >= 1 && columns <= kLimit &&
      group >= 0 && group <= kLimit) {
    weight->rows = static_cast<int64_t>(rows);
    weight->columns = static_cast<int64_t>(columns);
    weight->group = static_cast<int32_t>(group);
    if (WeightBytes(*weight) > 0) return true;
  }
  Fail(info.Env(), "INVALID_ARGUMENT", "no " + format + " matrix has this shape and group size");
  return false;
}

template <class T>
constexpr napi_typedarray_type kArrayType = napi_float32_array;
template <>
inline constexpr napi_typedarray_type kArrayType<uint8_t> = napi_uint8_array;
template <>
inline constexpr napi_typedarray_type kArrayType<int32_t> = napi_int32_array;

// The elements of a typed array that must have `length` of them; false after throwing if it has not. An array that is
// not `needed` is not looked at and comes out as null.
template <class T>
bool ReadArray(const Napi::CallbackInfo& info, size_t index, int64_t length, bool needed, const char* name, T** data) {
  *data = nullptr;
  if (!needed) return true;
  if (info[index].IsTypedArray()) {
    auto array = info[index].As<Napi::TypedArrayOf<T>>();
    if (array.TypedArrayType() == kArrayType<T> && static_cast<int64_t>(array.ElementLength()) == length) {
      *data = array.Data();
      return true;
    }
  }
  Fail(info.Env(), "SHAPE_MISMATCH", std::string(name) + " must have " + std::to_string(length) + " elements");
  return false;
}

}  // namespace llm
