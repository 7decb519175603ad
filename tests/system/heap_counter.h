// Counts the calls that one thread of this process makes to the heap. The program that links
// heap_counter.cc has malloc and free of its own, over glibc's.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ringwire::system_test {

/// Begins to count, from 0, what `thread` takes and gives back; 0: nobody's.
void count_heap_of(pid_t thread);
[[nodiscard]] std::uint64_t heap_calls();

}  // namespace ringwire::system_test
