#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include "memory/memory.h"

namespace llm {
namespace {

std::wstring Wide(const std::string& utf8) {
  const int length = MultiByteToWideChar(CP_UTF8, 0, utf8.data(), static_cast<int>(utf8.size()), nullptr, 0);
  std::wstring wide(static_cast<size_t>(length), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, utf8.data(), static_cast<int>(utf8.size()), wide.data(), length);
  return wide;
}

std::string LastError() {
  char text[256];
  constexpr DWORD kFlags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK;
  const DWORD length = FormatMessageA(kFlags, nullptr, GetLastError(), 0, text, sizeof text, nullptr);
  std::string reason(text, length);
  while (!reason.empty() && (reason.back() == ' ' || reason.back() == '.')) reason.pop_back();
  return reason;
}

}  // namespace

Memory::~Memory() {
  if (mapping_.address == nullptr) return;
  if (kind_ == Kind::kMapped)
    UnmapViewOfFile(mapping_.address);
  else
    VirtualFree(mapping_.address, 0, MEM_RELEASE);
}

// Large pages need a privilege that few accounts have; 64 KiB borders are what VirtualAlloc gives.
std::shared_ptr<Memory> AllocateMemory(size_t size) {
  void* const data = VirtualAlloc(nullptr, size == 0 ? 1 : size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (data == nullptr) return nullptr;
  return std::make_shared<Memory>(Memory::Kind::kAllocated, static_cast<uint8_t*>(data), size,
                                  Memory::Mapping{data, size});
}

std::shared_ptr<Memory> MapFile(const std::string& path, std::string* reason) {
  constexpr DWORD kShare = FILE_SHARE_READ | FILE_SHARE_DELETE;
  const HANDLE file = CreateFileW(Wide(path).c_str(), GENERIC_READ, kShare, nullptr, OPEN_EXISTING, 0, nullptr);
  if (file == INVALID_HANDLE_VALUE) {
    *reason = LastError();
    return nullptr;
  }
  std::shared_ptr<Memory> memory;
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file, &size)) {
    *reason = LastError();
  } else if (size.QuadPart == 0) {  // which CreateFileMapping refuses
    memory = std::make_shared<Memory>(Memory::Kind::kMapped, nullptr, 0, Memory::Mapping{});
  } else {
    const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
    void* const map = mapping == nullptr ? nullptr : MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    if (map == nullptr) {
      *reason = LastError();
    } else {
      const auto bytes = static_cast<size_t>(size.QuadPart);
      memory = std::make_shared<Memory>(Memory::Kind::kMapped, static_cast<uint8_t*>(map), bytes,
                                        Memory::Mapping{map, bytes});
    }
    if (mapping != nullptr) CloseHandle(mapping);
  }
  CloseHandle(file);
  return memory;
}

void PrefetchMemory(const Memory& memory, size_t offset, size_t size) {
  if (size == 0) return;
  WIN32_MEMORY_RANGE_ENTRY range{memory.data() + offset, size};
  PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0);
}

void PopulateMemory(const Memory& memory, size_t offset, size_t size) {
  const volatile uint8_t* const bytes = memory.data() + offset;
  constexpr size_t kPage = 4096;
  for (size_t i = 0; i < size; i += kPage) (void)bytes[i];
}

}  // namespace llm

#endif
