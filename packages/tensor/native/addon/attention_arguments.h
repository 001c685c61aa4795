// The arguments of the calls about attention.
#pragma once

#include <napi.h>

#include <string>

#include "kernels/attention_kernels.h"

namespace llm {

inline bool FindKvType(const std::string& name, KvType* type) {
  constexpr struct {
    const char* name;
    KvType type;
  } kTypes[] = {{"f32", KvType::kF32}, {"f16", KvType::kF16}, {"bf16", KvType::kBf16}, {"int8", KvType::kInt8}};
  for (const auto& known : kTypes) {
    if (name != known.name) continue;
    *type = known.type;
    return true;
  }
  return false;
}

// Field `name` of a plain object of numbers.
inline double NumberField(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name).UnwrapOr(object.Env().Undefined());
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
}

// -1 if it is not within [0, most].
inline int WholeField(const Napi::Object& object, const char* name, int most) {
  const double value = NumberField(object, name);
  return value >= 0 && value <= most ? static_cast<int>(value) : -1;
}

}  // namespace llm
