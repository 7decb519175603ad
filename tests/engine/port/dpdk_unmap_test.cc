// Memory is not taken from under a burst, whoever calls munmap by whatever library.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <thread>

#include "base/check.h"
#include "engine/port/dpdk_unmap.h"

namespace ringwire::port {
namespace {

constexpr std::size_t kBytes = 1 << 16;

struct Memory {
  Memory() {
    void* mapped =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RW_CHECK(mapped != MAP_FAILED);
    data = static_cast<unsigned char*>(mapped);
  }
  [[nodiscard]] bool is_mapped() const {
    unsigned char resident[kBytes / 4'096];
    return ::mincore(data, kBytes, resident) == 0;
  }
  unsigned char* data = nullptr;
};

/// Unmaps on a thread of its own, as DPDK's interrupt thread would.
struct Unmapping {
  explicit Unmapping(Memory& memory)
      : thread([this, &memory] {
          wait_for_bursts_on_this_thread();
          begins = true;
          EXPECT_EQ(::munmap(memory.data, kBytes), 0);
          is_over = true;
        }) {
    while (!begins) std::this_thread::yield();
  }
  std::atomic<bool> begins{false};
  std::atomic<bool> is_over{false};
  std::thread thread;
};

TEST(DpdkUnmap, waits_for_a_burst_that_had_begun) {
  Memory memory;
  BurstMark& mark = burst_mark(1, 2);
  mark.begin();
  Unmapping unmapping(memory);
  for (std::size_t round = 0; round < 2'000; ++round) {
    std::this_thread::yield();
    ++memory.data[round * 4'096 % kBytes];
  }
  EXPECT_FALSE(unmapping.is_over);
  mark.end();
  unmapping.thread.join();
  EXPECT_FALSE(memory.is_mapped());
}

TEST(DpdkUnmap, does_not_wait_for_those_that_begin_later) {
  Memory memory;
  BurstMark& mark = burst_mark(0, 0);
  mark.begin();
  Unmapping unmapping(memory);
  while (!unmapping.is_over) {
    mark.end();
    mark.begin();
  }
  mark.end();
  unmapping.thread.join();
  EXPECT_FALSE(memory.is_mapped());
}

TEST(DpdkUnmap, other_threads_unmap_at_once) {
  Memory memory;
  const Burst burst(burst_mark(0, 1));
  EXPECT_EQ(::munmap(memory.data, kBytes), 0);
  EXPECT_FALSE(memory.is_mapped());
}

TEST(DpdkUnmap, at_the_end_of_eal_memory_stays) {
  Memory memory;
  {
    const MemoryStays stays;
    EXPECT_EQ(::munmap(memory.data, kBytes), 0);
    EXPECT_TRUE(memory.is_mapped());
  }
  EXPECT_EQ(::munmap(memory.data, kBytes), 0);
  EXPECT_FALSE(memory.is_mapped());
}

// DPDK's drivers are loaded while the program runs, and find the C library's functions by name.
TEST(DpdkUnmap, is_what_libraries_find_that_are_loaded) {
  EXPECT_EQ(::dlsym(RTLD_DEFAULT, "munmap"), reinterpret_cast<void*>(&::munmap));
  Memory memory;
  BurstMark& mark = burst_mark(0, 3);
  mark.begin();
  std::atomic<bool> is_over{false};
  std::atomic<bool> begins{false};
  std::thread loader([&] {
    wait_for_bursts_on_this_thread();
    const auto found =
        reinterpret_cast<int (*)(void*, std::size_t)>(::dlsym(RTLD_DEFAULT, "munmap"));
    begins = true;
    EXPECT_EQ(found(memory.data, kBytes), 0);
    is_over = true;
  });
  while (!begins) std::this_thread::yield();
  for (int round = 0; round < 2'000; ++round) std::this_thread::yield();
  EXPECT_FALSE(is_over);
  mark.end();
  loader.join();
}

}  // namespace
}  // namespace ringwire::port
