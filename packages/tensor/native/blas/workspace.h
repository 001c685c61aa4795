#pragma once

#include <cstddef>
#include <memory>

#include "memory/memory.h"

namespace llm {

// Memory that products pack into. It grows, and is kept from one product to the next.
class Workspace {
 public:
  // At least `size` bytes, contents undefined; null if the system refuses.
  uint8_t* Reserve(size_t size) {
    if (memory_ == nullptr || memory_->size() < size) {
      memory_.reset();
      memory_ = AllocateMemory(size);
    }
    return memory_ == nullptr ? nullptr : memory_->data();
  }

 private:
  std::shared_ptr<Memory> memory_;
};

}  // namespace llm
