// The kernel selector: which way a product is computed. The whole policy is in select_matmul.cc.
#pragma once

#include <string_view>

#include "kernels/matmul.h"

namespace llm {

enum class MatmulPath : uint8_t {
  kRows,   // "rows": codes decoded in registers for up to 6 rows at a time
  kPanel,  // "panel": codes of a block decoded to bytes once, for all rows
  kFloat,  // "float": weights of a block decoded to fp32 once, for all rows
  kBf16,   // "bf16": the same, rounded to bf16
};

struct MatmulChoice {
  MatmulPath path;
  const char* reason;
};

const char* NameOf(MatmulPath path);

// The two int8 paths give the same bits; `rows` is the number of rows of x in the call.
MatmulChoice SelectMatmul(const KernelTable& table, Compute compute, const Weight& weight, int span, int rows);

// For comparisons: "rows" or "panel" wherever the table has it, or "" for the selector's own choice. False if there is
// no such path. Set it while nothing is multiplied.
bool ForceMatmulPath(std::string_view name);

}  // namespace llm
