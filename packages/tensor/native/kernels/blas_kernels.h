#pragma once

namespace llm {

struct BlasKernels {};

}  // namespace llm
