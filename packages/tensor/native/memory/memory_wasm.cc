// WebAssembly has no files: src/storage.ts reads them into allocated memory instead.
#include <cstdlib>
#include <cstring>

#include "memory/memory.h"

namespace llm {

Memory::~Memory() { std::free(data_); }

std::shared_ptr<Memory> AllocateMemory(size_t size) {
  const size_t rounded = (size + kMemoryAlignment) / kMemoryAlignment * kMemoryAlignment;
  if (rounded < size) return nullptr;
  auto* const data = static_cast<uint8_t*>(std::aligned_alloc(kMemoryAlignment, rounded));
  if (data == nullptr) return nullptr;
  std::memset(data, 0, rounded);
  return std::make_shared<Memory>(Memory::Kind::kAllocated, data, size, Memory::Mapping{});
}

std::shared_ptr<Memory> MapFile(const std::string&, std::string* reason) {
  *reason = "WebAssembly cannot map files";
  return nullptr;
}

void PrefetchMemory(const Memory&, size_t, size_t) {}
void PopulateMemory(const Memory&, size_t, size_t) {}

}  // namespace llm
