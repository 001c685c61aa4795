// Stress of the pool: what a thread sanitizer has to see.
#include "threads/pool.h"

#include <atomic>
#include <thread>
#include <vector>

#include "testing/check.h"
#include "threads/task_thread.h"

namespace llm {
namespace {

// Every part runs once, whatever the number of parts.
void EachPartRunsOnce() {
  for (int parts : {1, 2, 3, 7, 20, 2, 1}) {
    std::vector<int> runs(parts, 0);
    const Pool::Job job = [](void* context, int part, int count) {
      auto& all = *static_cast<std::vector<int>*>(context);
      CHECK(count == static_cast<int>(all.size()));
      ++all[part];
    };
    SharedPool().Run(job, &runs, parts);
    for (int count : runs) CHECK(count == 1);
  }
}

// Plain memory, passed on across barriers: part p of stage s + 1 reads what its neighbours wrote in stage s.
struct Relay {
  int stages;
  std::vector<int> values;
  std::vector<int> next;
};

void BarriersOrderMemory() {
  for (int parts : {2, 3, 8, 18}) {
    Relay relay{.stages = 300, .values = std::vector<int>(parts, 0), .next = std::vector<int>(parts, 0)};
    const Pool::Job job = [](void* context, int part, int count) {
      Relay& it = *static_cast<Relay*>(context);
      for (int stage = 0; stage < it.stages; ++stage) {
        it.next[part] = it.values[(part + 1) % count] + 1;
        SharedPool().Barrier(part, count);
        it.values[part] = it.next[part];
        SharedPool().Barrier(part, count);
      }
    };
    for (int round = 0; round < 3; ++round) SharedPool().Run(job, &relay, parts);
    for (int value : relay.values) CHECK(value == 900);
  }
}

// Several threads use the one pool, as engines in several worker_threads do, while its size changes.
void CallersTakeTurns() {
  std::atomic<int> total{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&total, caller] {
      for (int round = 0; round < 200; ++round) {
        SharedPool().Resize(1 + (caller + round) % 4, round % 2 == 0);
        const Pool::Job job = [](void* context, int part, int parts) {
          SharedPool().Barrier(part, parts);
          static_cast<std::atomic<int>*>(context)->fetch_add(1, std::memory_order_relaxed);
        };
        SharedPool().Run(job, &total, 1 + round % 5);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(total.load() == 4 * 40 * (1 + 2 + 3 + 4 + 5));
}

void TasksRunInOrder() {
  std::vector<int> order;
  std::atomic<int> done{0};
  for (int i = 0; i < 100; ++i)
    PostTask([&order, &done, i] {
      order.push_back(i);
      done.fetch_add(1, std::memory_order_release);
      done.notify_all();
    });
  for (int seen = 0; seen < 100; seen = done.load(std::memory_order_acquire)) done.wait(seen);
  for (int i = 0; i < 100; ++i) CHECK(order[i] == i);
}

}  // namespace
}  // namespace llm

int main() {
  llm::EachPartRunsOnce();
  llm::BarriersOrderMemory();
  llm::CallersTakeTurns();
  llm::TasksRunInOrder();
  return 0;
}
