#pragma once

namespace llm {

struct AttentionKernels {};

}  // namespace llm
