// Sizes and borders that the attention kernels and their callers agree on.
#pragma once

#include "kernels/attention_kernels.h"

namespace llm {

constexpr int kAttentionChunk = 64;        // keys between two looks at the running maximum
constexpr int kAttentionRows = 96;         // rows whose state and queries are kept near at a time
constexpr int kAttentionStateHeader = 16;  // floats before a row's accumulator: the maximum, the sum of weights

static inline constexpr int PaddedTo16(int n) { return (n + 15) / 16 * 16; }

}  // namespace llm
