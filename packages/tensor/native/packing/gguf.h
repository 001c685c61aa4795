// GGUF's simplest blocks of 32 values along K, laid out anew without loss: the same codes, the same fp16 fields.
#pragma once

#include <cstdint>
#include <string_view>

#include "packing/packed_layout.h"

namespace llm {

struct GgufType {
  std::string_view name;
  int block_bytes;      // of 32 values
  WeightFormat format;  // it becomes this, in groups of 32
};

constexpr int kGgufBlock = 32;

// Q4_0: fp16 d, 16 bytes; w = d (q - 8).  Q4_1: fp16 d, fp16 m, 16 bytes; w = d q + m.  Q8_0: fp16 d, 32 signed bytes.
// Byte j of the 4-bit types holds value j in its low and value 16 + j in its high nibble.
constexpr GgufType kGgufTypes[] = {
    {"Q4_0", 18, WeightFormat::kSym4}, {"Q4_1", 20, WeightFormat::kMin4}, {"Q8_0", 34, WeightFormat::kInt8}};

// Null if the type has no packed counterpart.
const GgufType* FindGgufType(std::string_view name);

// `from`: row-major blocks of a matrix with the layout's rows and columns. Row r of the result is row row_order[r] of
// the source, or row r if that is null.
void ImportGguf(const GgufType& type, const PackedLayout& layout, const uint8_t* from, const int32_t* row_order,
                int64_t block_begin, int64_t block_end, uint8_t* data);

}  // namespace llm
