// What the calls that make packed matrices share.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "addon/background.h"
#include "addon/failure.h"
#include "addon/storage_handle.h"
#include "packing/packed_layout.h"
#include "threads/pool.h"

namespace llm {

// Calls work(part, block_begin, block_end) on `parts` threads, or on all if that is 0, for all blocks.
template <class Work>
void ForBlocksInParts(int parts, int64_t blocks, const Work& work) {
  struct Context {
    int64_t blocks;
    const Work& work;
  } context = {blocks, work};
  const Pool::Job job = [](void* data, int part, int parts) {
    const Context& all = *static_cast<const Context*>(data);
    all.work(part, all.blocks * part / parts, all.blocks * (part + 1) / parts);
  };
  SharedPool().Run(job, &context, parts);
}

// Calls work(block_begin, block_end) on all threads until all blocks are done, and returns the largest of what the
// calls return. Threads take runs of blocks as they come: one that has to share its core with a writer of files does
// fewer.
template <class Work>
float ForBlocks(int64_t blocks, const Work& work) {
  constexpr int64_t kSideBySide = 16;  // what is worth being read together
  constexpr int64_t kRuns = 16;
  const int64_t run = (blocks / kRuns / kSideBySide + 1) * kSideBySide;
  std::atomic<int64_t> next = 0;
  std::atomic<float> result = 0.0f;
  ForBlocksInParts(0, blocks, [&](int, int64_t, int64_t) {
    for (int64_t begin = next.fetch_add(run); begin < blocks; begin = next.fetch_add(run)) {
      const float found = work(begin, std::min(blocks, begin + run));
      float largest = result.load();
      while (found > largest && !result.compare_exchange_weak(largest, found)) {
      }
    }
  });
  return result.load();
}

// The number that `work` returns, now or as a promise; `keep` holds the arguments that the work reads.
inline Napi::Value RunNowOrLater(const Napi::CallbackInfo& info, bool later, std::function<float()> work) {
  if (!later) return Napi::Number::New(info.Env(), static_cast<double>(work()));
  std::vector<Napi::Value> keep;
  for (size_t i = 0; i < info.Length(); ++i) keep.push_back(info[i]);
  auto result = std::make_shared<float>(0.0f);
  return RunInBackground(
      info.Env(), keep,
      [work = std::move(work), result]() -> TaskFailure {
        *result = work();
        return {};
      },
      [result](Napi::Env env) { return Napi::Number::New(env, static_cast<double>(*result)); });
}

// Where the bytes of a matrix go: a place in a writable storage.
struct Target {
  std::shared_ptr<Memory> memory;
  uint8_t* data;
};

inline bool ReadTarget(const Napi::CallbackInfo& info, size_t first, int64_t bytes, Target* target) {
  const double offset = info[first + 1].As<Napi::Number>().DoubleValue();
  target->memory = CheckedBytes(info.Env(), info[first], offset, static_cast<double>(bytes));
  if (target->memory == nullptr) return false;
  target->data = target->memory->data() + static_cast<size_t>(offset);
  if (target->memory->writable() && reinterpret_cast<uintptr_t>(target->data) % kLine == 0) return true;
  Fail(info.Env(), "INVALID_ARGUMENT", "packing needs writable memory at a multiple of 64 bytes");
  return false;
}

}  // namespace llm
