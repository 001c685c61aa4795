// Between the packed layout and plain arrays. Everything works on a range of blocks, so that threads can share it.
#pragma once

#include <cstdint>

#include "packing/packed_layout.h"

namespace llm {

// Row-major arrays over the rows of a matrix; G is the number of groups of a row. Scales and minima are rounded to
// fp16.
struct PlainCodes {
  uint8_t* codes;        // [rows][columns]; for kInt8 the value plus 128
  float* scales;         // [rows][G]; two-level formats: [rows], one for each output
  uint8_t* zero_points;  // [rows][G], formats with zero points
  float* minima;         // [rows][G], formats with minima
  uint8_t* multipliers;  // [rows][G] of 1..16, two-level formats
};

// Padding rows and columns get codes and scales that make them 0.
void PackCodes(const PackedLayout& layout, const PlainCodes& from, int64_t block_begin, int64_t block_end,
               uint8_t* data);
void UnpackCodes(const PackedLayout& layout, const uint8_t* data, int64_t block_begin, int64_t block_end,
                 const PlainCodes& to);

// out[row_end - row_begin][columns]. Row r of the matrix is w = scale * (code - zero) or fma(scale, code, minimum),
// each rounded once; the scale of two-level formats is rounded before.
void DequantizePacked(const PackedLayout& layout, const uint8_t* data, int64_t row_begin, int64_t row_end, float* out);

}  // namespace llm
