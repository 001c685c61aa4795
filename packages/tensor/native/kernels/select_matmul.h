// The kernel selector: which way a product is computed. The whole policy is in select_matmul.cc.
#pragma once

#include <string_view>

#include "kernels/matmul.h"

namespace llm {

enum class MatmulPath : uint8_t {
  kRows,       // "rows": codes decoded in registers for up to 6 rows at a time
  kPanel,      // "panel": codes of a block decoded to bytes once, for all rows
  kStream,     // "stream": dense weights transposed in registers, for up to 8 rows
  kFloat,      // "float": weights of a block decoded to fp32 once, for all rows
  kBf16,       // "bf16": the same, rounded to bf16
  kF16,        // "f16": the same, rounded to fp16
  kTiles,      // "tiles": codes of a block decoded to bytes once, multiplied in tile registers
  kBf16Tiles,  // "bf16-tiles": as bf16, in tile registers
};

constexpr bool UsesTiles(MatmulPath path) { return path == MatmulPath::kTiles || path == MatmulPath::kBf16Tiles; }

struct MatmulChoice {
  MatmulPath path;
  const char* reason;
};

const char* NameOf(MatmulPath path);

// The two int8 paths give the same bits; `rows` is the number of rows of x in the call.
MatmulChoice SelectMatmul(const KernelTable& table, Compute compute, const Weight& weight, int span, int rows);

// For comparisons: "rows", "panel" or "tiles" wherever the table has it, or "" for the selector's own choice. False if
// there is no such path. Set it while nothing is multiplied.
bool ForceMatmulPath(std::string_view name);

// The numbers of rows from which the selector takes another int8 kernel: "<codes>-<groups>" for panels, with codes
// symmetric, zero-points or two-level and groups short (to 64) or long; "tiles" for tiles. 0: never. As measured on one
// machine they stand in for the built-in ones. False if there is no such name. Set it while nothing is multiplied.
bool SetMatmulThreshold(std::string_view name, int rows);

}  // namespace llm
