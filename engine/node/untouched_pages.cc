#include "engine/node/untouched_pages.h"

#include <sys/mman.h>

namespace ringwire::node {

ZeroedMemory untouched_pages() {
  return {.take = [](std::size_t bytes) -> void* {
            void* memory =
                mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return memory == MAP_FAILED ? nullptr : memory;
          },
          .give_back = [](void* memory, std::size_t bytes) { munmap(memory, bytes); }};
}

}  // namespace ringwire::node
