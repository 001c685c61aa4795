#pragma once

#include <span>
#include <string_view>

#include "cpu/features.h"
#include "kernels/kernel_table.h"

namespace llm {

struct CompiledTable {
  KernelTable kernels;
  bool CpuFeatures::* needs;  // null: runs on every CPU that this binary runs on

  bool RunsOn(const CpuFeatures& cpu) const { return needs == nullptr || cpu.*needs; }
};

// All tables in this binary, the best first.
std::span<const CompiledTable> CompiledTables();

// Null if there is no such table, or if this CPU would die of it.
const KernelTable* FindKernels(std::string_view isa, const CpuFeatures& cpu);

}  // namespace llm
