#pragma once

namespace llm {

struct MatmulKernels {};

}  // namespace llm
