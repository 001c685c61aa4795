// Linux, macOS and other systems with mmap.
#if !defined(_WIN32)

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "memory/memory.h"

namespace llm {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// The pages that hold [offset, offset + size) of a block.
struct Pages {
  void* address;
  size_t size;
};

Pages PagesOf(const Memory& memory, size_t offset, size_t size) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(memory.data()) + offset;
  const uintptr_t first = begin / page * page;
  return {reinterpret_cast<void*>(first), begin + size - first};
}

std::shared_ptr<Memory> AllocateHuge(size_t size) {
  // The system places mappings on small pages: take a huge page more and give the ends back.
  const size_t wanted = RoundUp(size, kHugePage);
  const size_t reserved = wanted + kHugePage;
  if (reserved < size) return nullptr;
  void* const map = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return nullptr;

  auto* const begin = static_cast<uint8_t*>(map);
  auto* const data = reinterpret_cast<uint8_t*>(RoundUp(reinterpret_cast<uintptr_t>(begin), kHugePage));
  if (data > begin) munmap(begin, data - begin);
  if (data + wanted < begin + reserved) munmap(data + wanted, begin + reserved - (data + wanted));
#if defined(MADV_HUGEPAGE)
  madvise(data, wanted, MADV_HUGEPAGE);
#endif
  return std::make_shared<Memory>(Memory::Kind::kAllocated, data, size, Memory::Mapping{data, wanted});
}

}  // namespace

Memory::~Memory() {
  if (mapping_.address != nullptr)
    munmap(mapping_.address, mapping_.size);
  else
    std::free(data_);
}

std::shared_ptr<Memory> AllocateMemory(size_t size) {
  if (size >= kHugeBytes) return AllocateHuge(size);
  const size_t rounded = RoundUp(size == 0 ? 1 : size, kMemoryAlignment);
  auto* const data = static_cast<uint8_t*>(std::aligned_alloc(kMemoryAlignment, rounded));
  if (data == nullptr) return nullptr;
  std::memset(data, 0, rounded);
  return std::make_shared<Memory>(Memory::Kind::kAllocated, data, size, Memory::Mapping{});
}

namespace {

struct FileStatus {
  bool regular;
  uint64_t size;
};

bool StatusOf(int file, FileStatus* out) {
#if defined(__linux__)
  // Not fstat: that is a symbol of glibc 2.33.
  struct statx status;
  if (statx(file, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &status) != 0) return false;
  *out = {S_ISREG(status.stx_mode), status.stx_size};
#else
  struct stat status;
  if (fstat(file, &status) != 0) return false;
  *out = {S_ISREG(status.st_mode), static_cast<uint64_t>(status.st_size)};
#endif
  return true;
}

}  // namespace

std::shared_ptr<Memory> MapFile(const std::string& path, std::string* reason) {
  const auto fail = [&]() -> std::shared_ptr<Memory> {
    *reason = std::strerror(errno);
    return nullptr;
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail();

  FileStatus status;
  std::shared_ptr<Memory> memory;
  if (!StatusOf(file, &status)) {
    fail();
  } else if (!status.regular) {
    *reason = "it is not a file";
  } else if (status.size == 0) {  // which mmap refuses
    memory = std::make_shared<Memory>(Memory::Kind::kMapped, nullptr, 0, Memory::Mapping{});
  } else {
    const auto size = static_cast<size_t>(status.size);
    void* const map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED) {
      fail();
    } else {
#if defined(MADV_HUGEPAGE)
      madvise(map, size, MADV_HUGEPAGE);  // on file systems that keep files in huge pages
#endif
      memory =
          std::make_shared<Memory>(Memory::Kind::kMapped, static_cast<uint8_t*>(map), size, Memory::Mapping{map, size});
    }
  }
  close(file);
  return memory;
}

void PrefetchMemory(const Memory& memory, size_t offset, size_t size) {
  if (size == 0) return;
  const Pages pages = PagesOf(memory, offset, size);
  madvise(pages.address, pages.size, MADV_WILLNEED);
}

void PopulateMemory(const Memory& memory, size_t offset, size_t size) {
  if (size == 0) return;
#if defined(__linux__)
  // Linux 5.14 and later; its number for C libraries that are older.
  constexpr int kPopulateRead = 22, kPopulateWrite = 23;
  const Pages pages = PagesOf(memory, offset, size);
  if (madvise(pages.address, pages.size, memory.writable() ? kPopulateWrite : kPopulateRead) == 0) return;
#endif
  const volatile uint8_t* const bytes = memory.data() + offset;
  constexpr size_t kSmallestPage = 4096;
  for (size_t i = 0; i < size; i += kSmallestPage) (void)bytes[i];
  (void)bytes[size - 1];
}

}  // namespace llm

#endif
