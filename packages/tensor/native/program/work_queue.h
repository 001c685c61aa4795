// Splits a range of tasks over the threads of a step: each has its own share, in order, so that the same thread reads
// the same weights in every step; whoever is done early helps the others with what they have not begun.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

namespace llm {

class WorkQueue {
 public:
  explicit WorkQueue(int parts) : cursors_(std::make_unique<Cursor[]>(kSets * parts)), parts_(parts) {}

  // Before a job of the pool begins, by one thread; its calls of Run are then numbered from 0.
  void Reset() {
    for (int i = 0; i < kSets * parts_; ++i) cursors_[i].next.store(0, std::memory_order_relaxed);
  }

  // Calls task(begin, end) for disjoint parts of [0, total). Every thread of the step takes part, in the same order of
  // calls, with a barrier between any call and the next but one. Chunks shrink from half of what is left of a share
  // down to `smallest`, and are never larger than `largest`; one thread has nobody to leave anything to. `call` counts
  // the calls: the same number in every thread.
  template <class Task>
  void Run(int part, int parts, uint32_t call, int total, int smallest, int largest, const Task& task) {
    if (parts == 1) {
      for (int begin = 0; begin < total; begin += largest) task(begin, std::min(total, begin + largest));
      return;
    }
    Cursor* const cursors = &cursors_[Set(call) * parts_];
    // For the next call but one, which begins after everybody has been here. Nobody is still in the one two before
    // this, which had the same cursors. The next call may have begun.
    cursors_[Set(call + 2) * parts_ + part].next.store(0, std::memory_order_relaxed);
    for (int i = 0; i < parts; ++i) {
      const int owner = part + i < parts ? part + i : part + i - parts;
      const int begin = Border(total, owner, parts), size = Border(total, owner + 1, parts) - begin;
      std::atomic<int>& next = cursors[owner].next;
      for (int taken = next.load(std::memory_order_relaxed); taken < size;) {
        const int left = size - taken;
        const int count = std::min(left, std::clamp(left / 2, smallest, largest));
        if (!next.compare_exchange_weak(taken, taken + count, std::memory_order_relaxed)) continue;
        task(begin + taken, begin + taken + count);
        taken = next.load(std::memory_order_relaxed);
      }
    }
  }

  // Where the share of a part begins.
  static int Border(int total, int part, int parts) {
    return static_cast<int>(static_cast<int64_t>(total) * part / parts);
  }

 private:
  static constexpr int kSets = 4;

  static int Set(uint32_t call) { return static_cast<int>(call % kSets); }

  struct alignas(128) Cursor {
    std::atomic<int> next{0};
  };

  std::unique_ptr<Cursor[]> cursors_;
  const int parts_;
};

}  // namespace llm
