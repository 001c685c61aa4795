// Round to nearest: from weights to packed codes in one pass, with nothing in between but the rows of one block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.h"
#include "packing/packed_layout.h"

namespace llm {

// Formats with a scale per group and a fixed or an integer zero point.
bool CanRound(WeightFormat format);

// Bytes that RoundToNearest works in, of each thread.
size_t RoundingScratchBytes(const PackedLayout& layout);

// Fills blocks [block_begin, block_end) of `data`. Scales are rounded to fp16 before any code is chosen, so that codes
// are the nearest ones for the scales that are stored.
// Returns the first row with a weight that is NaN or infinite, where it stops; -1 if there is none.
int64_t RoundToNearest(const Weight& from, const PackedLayout& layout, int64_t block_begin, int64_t block_end,
                       uint8_t* scratch, uint8_t* data);

}  // namespace llm
