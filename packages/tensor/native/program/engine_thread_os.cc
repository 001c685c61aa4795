#include <atomic>
#include <cstdint>
#include <thread>

#include "program/engine_thread.h"

namespace llm {
namespace {

class OwnThread : public EngineThread {
 public:
  OwnThread(Work work, void* context) : thread_([this, work, context] { Loop(work, context); }) {}

  ~OwnThread() override {
    stopping_.store(true, std::memory_order_relaxed);
    Wake();
    thread_.join();
  }

  void Wake() override {
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_one();
  }

 private:
  void Loop(Work work, void* context) {
    while (!stopping_.load(std::memory_order_relaxed)) {
      const uint32_t calls = calls_.load(std::memory_order_acquire);
      if (!work(context) && !stopping_.load(std::memory_order_relaxed)) calls_.wait(calls, std::memory_order_acquire);
    }
  }

  std::atomic<uint32_t> calls_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;  // last: it uses the others
};

}  // namespace

std::unique_ptr<EngineThread> EngineThread::Start(Work work, void* context) {
  return std::make_unique<OwnThread>(work, context);
}

}  // namespace llm
