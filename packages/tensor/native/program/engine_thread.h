// The thread that an engine's steps run on. engine_thread_os.cc has one for each engine; engine_thread_wasm.cc, where
// there are no threads, takes turns with the event loop.
#pragma once

#include <memory>

namespace llm {

class EngineThread {
 public:
  // Does some work; false if there is none.
  using Work = bool (*)(void* context);

  static std::unique_ptr<EngineThread> Start(Work work, void* context);
  virtual ~EngineThread() = default;  // after the last call of `work` has returned

  // There may be work. Otherwise the thread sleeps.
  virtual void Wake() = 0;
};

}  // namespace llm
