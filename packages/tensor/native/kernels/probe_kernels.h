// Loops that do nothing but read, or nothing but arithmetic: the limits that other kernels are measured against.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llm {

struct ProbeKernels {
  // Reads all bytes, a multiple of kReadUnit, as `streams` (1, 2 or 4) regions side by side, each fetched `ahead` bytes
  // ahead, or not if 0. The result depends on every byte.
  uint32_t (*read)(const uint8_t* data, size_t size, int streams, int ahead);
  // Do `rounds` of independent multiply-adds and return how many multiplications and additions that were.
  double (*int8)(int64_t rounds);
  double (*f32)(int64_t rounds);
  double (*bf16)(int64_t rounds);  // null if the instruction set has none
};

constexpr size_t kReadUnit = 4096;

}  // namespace llm
