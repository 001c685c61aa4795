#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "threads/task_thread.h"

namespace llm {
namespace {

class TaskThread {
 public:
  TaskThread() {
    std::thread([this] { Work(); }).detach();
  }

  void Post(std::function<void()> task) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    posted_.fetch_add(1, std::memory_order_seq_cst);
    posted_.notify_one();
  }

 private:
  [[noreturn]] void Work() {
    for (uint32_t taken = 0;; ++taken) {
      posted_.wait(taken, std::memory_order_seq_cst);
      std::function<void()> task;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;
  std::atomic<uint32_t> posted_{0};
};

}  // namespace

void PostTask(std::function<void()> task) {
  static TaskThread* const thread = new TaskThread;  // ends with the process
  thread->Post(std::move(task));
}

}  // namespace llm
