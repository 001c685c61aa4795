#pragma once

#include <string_view>

#include "packing/packed_layout.h"

namespace llm {

// As in TypeScript and in packed checkpoints, in the order of WeightFormat.
constexpr std::string_view kFormatNames[] = {"f32",       "f16",      "bf16",          "int4-sym", "int4-asym",
                                             "int4-min",  "int4-two", "int4-two-asym", "int8",     "int2-sym",
                                             "int2-asym", "int3-sym", "int3-asym"};

inline bool FindFormat(std::string_view name, WeightFormat* format) {
  for (int i = 0; i < static_cast<int>(std::size(kFormatNames)); ++i) {
    if (kFormatNames[i] != name) continue;
    *format = static_cast<WeightFormat>(i);
    return true;
  }
  return false;
}

}  // namespace llm
