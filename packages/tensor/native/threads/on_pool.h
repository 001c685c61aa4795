// Splitting work over the pool.
#pragma once

#include <algorithm>
#include <cstdint>

#include "threads/pool.h"

namespace llm {

// Calls visit(begin, end) for ranges that make up 0 .. count, one for each part of the pool; less than `least` is left
// to the caller's thread, as waking others would cost more than they help.
template <typename Visit>
void OnPool(int64_t count, int64_t least, const Visit& visit) {
  struct Context {
    const Visit* visit;
    int64_t count;
  } context{&visit, count};
  const Pool::Job job = [](void* data, int part, int parts) {
    const Context& it = *static_cast<const Context*>(data);
    const int64_t begin = it.count * part / parts, end = it.count * (part + 1) / parts;
    if (begin < end) (*it.visit)(begin, end);
  };
  SharedPool().Run(job, &context, count < least ? 1 : 0);
}

}  // namespace llm
