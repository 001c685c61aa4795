// Measures the limits of this machine as it is now.
#pragma once

#include <cstddef>

#include "kernels/kernel_table.h"

namespace llm {

// Bytes per second that `parts` threads read together from `size` bytes of their own memory, again and again: the best
// of several ways to read, each taken as the median of its passes. 0: out of memory.
double MeasureReadBandwidth(const KernelTable& kernels, int parts, size_t size);

enum class PeakKind { kInt8, kF32, kBf16 };

// Multiplications and additions per second of `parts` threads together, the median of several times. 0: the
// instruction set has no such operations.
double MeasurePeak(const KernelTable& kernels, PeakKind kind, int parts);

}  // namespace llm
