#include "tests/system/heap_counter.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

// glibc's own, under the names that it gives who replaces malloc.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* memory);
}

namespace {

std::atomic<pid_t> watched{0};
std::atomic<std::uint64_t> calls{0};

void count() {
  const pid_t thread = watched;
  if (thread != 0 && thread == ::gettid()) ++calls;
}

}  // namespace

extern "C" {

void* malloc(std::size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t items, std::size_t bytes) {
  count();
  return __libc_calloc(items, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  count();
  return __libc_realloc(old, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  count();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) {
  if (memory != nullptr) count();
  __libc_free(memory);
}

}  // extern "C"

namespace ringwire::system_test {

void count_heap_of(pid_t thread) {
  watched = 0;
  calls = 0;
  watched = thread;
}

std::uint64_t heap_calls() { return calls; }

}  // namespace ringwire::system_test
