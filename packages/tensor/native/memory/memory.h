// Blocks of bytes that weights and caches live in: anonymous memory, or a file mapped for reading. Whoever uses the
// bytes holds a shared_ptr to the block, so that they outlive the JavaScript object that made them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace llm {

class Memory {
 public:
  enum class Kind : uint8_t { kAllocated, kMapped };

  // Everything the system knows about getting rid of the block again.
  struct Mapping {
    void* address = nullptr;
    size_t size = 0;
  };

  Memory(Kind kind, uint8_t* data, size_t size, Mapping mapping)
      : kind_(kind), data_(data), size_(size), mapping_(mapping) {}
  ~Memory();

  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  Kind kind() const { return kind_; }
  bool writable() const { return kind_ == Kind::kAllocated; }
  // 64-byte aligned.
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const Kind kind_;
  uint8_t* const data_;
  const size_t size_;
  const Mapping mapping_;  // its address is null for a block of the C++ heap
};

constexpr size_t kMemoryAlignment = 64;

// Zeros. From kHugeBytes on, on 2 MiB borders and in huge pages where the system has them. Null if it refuses.
constexpr size_t kHugeBytes = size_t{4} << 20;
std::shared_ptr<Memory> AllocateMemory(size_t size);

// The whole file, read-only; pages come from the page cache when they are first touched. Null if that fails, with the
// system's reason. A file that is cut short later kills whoever reads beyond its new end: replace files, do not edit
// them.
std::shared_ptr<Memory> MapFile(const std::string& path, std::string* reason);

// Starts reading [offset, offset + size) from disk, without waiting.
void PrefetchMemory(const Memory& memory, size_t offset, size_t size);

// Waits until [offset, offset + size) is in memory. Several threads may do disjoint parts.
void PopulateMemory(const Memory& memory, size_t offset, size_t size);

}  // namespace llm
