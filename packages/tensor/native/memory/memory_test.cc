#include "memory/memory.h"

#include <cstdio>
#include <cstring>

#include "testing/check.h"

namespace llm {
namespace {

void AllocationsAreAlignedZeros() {
  for (size_t size :
       {size_t{0}, size_t{1}, size_t{63}, size_t{65}, size_t{4096}, kHugeBytes - 1, kHugeBytes, kHugeBytes + 1}) {
    const std::shared_ptr<Memory> memory = AllocateMemory(size);
    CHECK(memory != nullptr && memory->size() == size && memory->writable());
    CHECK(reinterpret_cast<uintptr_t>(memory->data()) % (size >= kHugeBytes ? size_t{2} << 20 : kMemoryAlignment) == 0);
    PopulateMemory(*memory, 0, size);
    for (size_t i = 0; i < size; i += 61) CHECK(memory->data()[i] == 0);
    if (size > 0) std::memset(memory->data(), 1, size);
  }
}

void ImpossibleSizesAreRefused() {
  CHECK(AllocateMemory(SIZE_MAX) == nullptr);
  CHECK(AllocateMemory(SIZE_MAX / 2) == nullptr);
}

void FilesAreMapped() {
  const char* const path = "memory_test.bin";
  std::FILE* const file = std::fopen(path, "wb");
  for (int i = 0; i < 10000; ++i) std::fputc(i % 251, file);
  std::fclose(file);

  std::string reason;
  const std::shared_ptr<Memory> memory = MapFile(path, &reason);
  CHECK(memory != nullptr && memory->size() == 10000 && !memory->writable());
  PrefetchMemory(*memory, 5000, 5000);
  PopulateMemory(*memory, 1, 9999);
  for (int i = 0; i < 10000; ++i) CHECK(memory->data()[i] == i % 251);
  std::remove(path);

  CHECK(MapFile("no/such/file", &reason) == nullptr && !reason.empty());
  CHECK(MapFile("/", &reason) == nullptr && !reason.empty());
}

}  // namespace
}  // namespace llm

int main() {
  llm::AllocationsAreAlignedZeros();
  llm::ImpossibleSizesAreRefused();
  llm::FilesAreMapped();
  return 0;
}
