#include "program/engine_thread.h"

namespace llm {
namespace {

class NoThread : public EngineThread {
 public:
  NoThread(Work work, void* context) : work_(work), context_(context) {}

  void Wake() override {
    while (work_(context_)) {
    }
  }

 private:
  const Work work_;
  void* const context_;
};

}  // namespace

std::unique_ptr<EngineThread> EngineThread::Start(Work work, void* context) {
  return std::make_unique<NoThread>(work, context);
}

}  // namespace llm
