// The process's thread for long calls: quantizers' BLAS, packing, probes. It only starts jobs on the pool and waits for
// them; generation has a thread of its own.
#pragma once

#include <functional>

namespace llm {

// Calls `task` later, after all tasks posted before. A task must not wait for another.
void PostTask(std::function<void()> task);

}  // namespace llm
