// The C library here knows no threads. The linker puts these functions in the place of its own (--wrap), so that parts
// of a job may allocate. Nobody waits long: a lock is held for one allocation.
#include <atomic>
#include <cstddef>

namespace {

std::atomic_flag busy;

struct Turn {
  Turn() {
    while (busy.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~Turn() { busy.clear(std::memory_order_release); }
};

}  // namespace

extern "C" {

void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void* __real_realloc(void* old, size_t size);
void* __real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void** result, size_t alignment, size_t size);
void __real_free(void* memory);

// The names under which JavaScript finds them do not survive --wrap.
__attribute__((export_name("malloc"))) void* __wrap_malloc(size_t size) {
  const Turn turn;
  return __real_malloc(size);
}
void* __wrap_calloc(size_t count, size_t size) {
  const Turn turn;
  return __real_calloc(count, size);
}
void* __wrap_realloc(void* old, size_t size) {
  const Turn turn;
  return __real_realloc(old, size);
}
void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  const Turn turn;
  return __real_aligned_alloc(alignment, size);
}
int __wrap_posix_memalign(void** result, size_t alignment, size_t size) {
  const Turn turn;
  return __real_posix_memalign(result, alignment, size);
}
__attribute__((export_name("free"))) void __wrap_free(void* memory) {
  const Turn turn;
  __real_free(memory);
}
}
