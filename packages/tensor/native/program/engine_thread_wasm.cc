// Without threads the work is done in turns of the event loop: one step, then whatever else waits, then the next step.
#include <memory>

#include "program/engine_thread.h"

// src/backend/wasm.ts: calls `callback` with `data` in a later turn of the event loop.
extern "C" __attribute__((import_module("env"), import_name("llm_defer"))) void LlmDefer(void (*callback)(void*),
                                                                                         void* data);

namespace llm {
namespace {

class EventLoopThread : public EngineThread {
 public:
  EventLoopThread(Work work, void* context) : state_(std::make_shared<State>(State{work, context, true, false})) {}

  // Turns that have been asked for still come, and find nothing to do.
  ~EventLoopThread() override { state_->alive = false; }

  void Wake() override { Defer(state_); }

 private:
  struct State {
    Work work;
    void* context;
    bool alive, deferred;
  };

  static void Defer(const std::shared_ptr<State>& state) {
    if (state->deferred) return;
    state->deferred = true;
    LlmDefer(Turn, new std::shared_ptr<State>(state));
  }

  static void Turn(void* data) {
    auto* const box = static_cast<std::shared_ptr<State>*>(data);
    const std::shared_ptr<State> state = *box;
    delete box;
    state->deferred = false;
    if (state->alive && state->work(state->context) && state->alive) Defer(state);
  }

  const std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<EngineThread> EngineThread::Start(Work work, void* context) {
  return std::make_unique<EventLoopThread>(work, context);
}

}  // namespace llm
