#pragma once

namespace llm {

struct VectorKernels {};

}  // namespace llm
