// The orders of threads that are rare when they are left to chance.
#include "program/work_queue.h"

#include <array>
#include <cstdint>

#include "testing/check.h"

namespace llm {
namespace {

// Between two calls without a barrier one thread does all of the first, and what it can of the second, before the other
// thread has begun with either.
void OneThreadRunsAhead() {
  constexpr int kMost = 64;
  WorkQueue queue(2);
  for (uint32_t first = 0; first < 12; first += 2) {
    std::array<std::array<int, kMost>, 2> done{};
    for (const int part : {0, 1})
      for (const uint32_t second : {0u, 1u}) {
        // Shares of every size follow each other in a place.
        const int total = kMost >> (first + second) % 5;
        queue.Run(part, 2, first + second, total, 1, 4, [&](int begin, int end) {
          for (int i = begin; i < end; ++i) ++done[second][i];
        });
      }
    for (const uint32_t second : {0u, 1u})
      for (int i = 0; i < kMost; ++i) CHECK(done[second][i] == (i < kMost >> (first + second) % 5 ? 1 : 0));
  }
}

}  // namespace
}  // namespace llm

int main() { llm::OneThreadRunsAhead(); }
