// Linears of other quantizers' files (GPTQ, AWQ, compressed-tensors), laid out anew: the same codes and zero points.
#pragma once

#include <cstdint>

#include "packing/fields.h"
#include "packing/packed_layout.h"

namespace llm {

enum class ScaleType : uint8_t { kF16, kBf16, kF32 };

// w[row][k] = scale[row][g] (code[row][k] - zero[row][g]), g the group of k.
struct StoredLinear {
  FieldMatrix codes;  // [rows][columns]
  int groups;
  const uint8_t* scales;
  ScaleType scale_type;
  bool scales_by_row;  // [rows][groups], else [groups][rows]
  // [groups][rows], or [rows][groups] where they are interleaved. Without words: the middle of the grid.
  FieldMatrix zero_points;
  int zero_added;  // to every field, modulo its bits: 1 for GPTQ's version 1
};

// Blocks [block_begin, block_end) of a packed matrix with the linear's rows, columns, groups and bits; the format has
// zero points if the linear has. Returns the largest difference between a stored and a packed weight: scales are
// rounded to fp16.
float ImportLinear(const StoredLinear& from, const PackedLayout& layout, int64_t block_begin, int64_t block_end,
                   uint8_t* data);

// Rows [row_begin, row_end) as fp16, [columns] each, with the group of every input; for groups that are no runs of
// inputs. scales and zero_points are [rows][groups]. Returns the largest difference.
float DequantizeFields(const FieldMatrix& codes, int groups, const float* scales, const uint8_t* zero_points,
                       const int32_t* group_of, int64_t row_begin, int64_t row_end, uint16_t* out);

}  // namespace llm
