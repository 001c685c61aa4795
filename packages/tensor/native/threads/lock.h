// A mutex where there are threads. WebAssembly's other threads only compute, and take no locks.
#pragma once

#if !defined(__wasm__)
#include <mutex>
#endif

namespace llm {

#if defined(__wasm__)
struct Lock {};  // one thread
struct Locked {
  explicit Locked(Lock&) {}
};
#else
using Lock = std::mutex;
using Locked = std::lock_guard<std::mutex>;
#endif

}  // namespace llm
