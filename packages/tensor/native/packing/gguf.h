// Weights of GGUF files, blocks along K, laid out anew: on a packed grid where one has the same values, else as fp16.
#pragma once

#include <cstdint>
#include <string_view>

#include "packing/packed_layout.h"

namespace llm {

constexpr int kGgufMaxValues = 256;  // of a block
constexpr int kGgufMaxGroups = 16;

// One block, taken apart: w = scale[g] (code - zero) + minimum[g], g the group of the value.
struct GgufBlock {
  uint8_t codes[kGgufMaxValues];
  float scales[kGgufMaxGroups];
  float minima[kGgufMaxGroups];
};

struct GgufType {
  std::string_view name;
  int values, bytes;    // of a block
  WeightFormat format;  // it becomes this; kF16: no packed grid has its values
  int group;            // values under one scale
  int zero;             // the code of weight 0, before minima
  bool has_minima;
  void (*decode)(const uint8_t* block, GgufBlock* out);
};

// Null if the type is not known.
const GgufType* FindGgufType(std::string_view name);

struct GgufSource {
  const GgufType* type;
  const uint8_t* data;       // row-major blocks
  const int32_t* row_order;  // row r of the result is row row_order[r] of the source; null: as they are
};

// Blocks [block_begin, block_end) of a packed matrix in the type's format and groups. Returns the largest difference
// between a stored and a packed weight; infinity where something is no finite fp16.
float ImportGguf(const GgufSource& from, const PackedLayout& layout, int64_t block_begin, int64_t block_end,
                 uint8_t* data);

// Rows [row_begin, row_end) of `columns` values as fp16. Returns the largest difference, as above.
float DequantizeGguf(const GgufSource& from, int64_t columns, int64_t row_begin, int64_t row_end, uint16_t* out);

}  // namespace llm
