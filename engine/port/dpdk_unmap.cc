#include "engine/port/dpdk_unmap.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <ctime>

#include "base/check.h"

namespace ringwire::port {
namespace {

/// Between two looks at a burst that goes on: most are over within some microseconds.
constexpr long kLookNs = 20'000;
/// Where the kernel offers no membarrier: a store is in sight of all processors long before.
constexpr long kSettleNs = 1'000'000;

std::array<BurstMark, std::size_t{kMostMarkedDevices} * kMostMarkedQueues> marks;
thread_local bool waits_for_bursts = false;
thread_local bool memory_stays = false;

void pass_ns(long pause_ns) {
  const timespec pause{0, pause_ns};
  ::nanosleep(&pause, nullptr);
}

void wait_for_bursts() {
  const int before = errno;
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) pass_ns(kSettleNs);
  for (const BurstMark& mark : marks) {
    const std::uint32_t seen = mark.count();
    while (seen % 2 != 0 && mark.count() == seen) pass_ns(kLookNs);
  }
  errno = before;
}

}  // namespace

BurstMark& burst_mark(std::uint32_t device, std::uint32_t queue) {
  RW_CHECK(device < kMostMarkedDevices);
  RW_CHECK(queue < kMostMarkedQueues);
  return marks[std::size_t{device} * kMostMarkedQueues + queue];
}

void wait_for_bursts_on_this_thread() {
  ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
  waits_for_bursts = true;
}

MemoryStays::MemoryStays() { memory_stays = true; }
MemoryStays::~MemoryStays() { memory_stays = false; }

}  // namespace ringwire::port

// In place of the C library's, for all that this program is linked with or loads: DPDK and its
// drivers call these. On every other thread they are the system calls and nothing else.

// The driver has turned bursts away, and takes the memory from under those that had begun.
extern "C" int munmap(void* address, std::size_t bytes) {
  if (ringwire::port::memory_stays) return 0;
  if (ringwire::port::waits_for_bursts) ringwire::port::wait_for_bursts();
  return static_cast<int>(::syscall(SYS_munmap, address, bytes));
}

// The driver is about to let bursts in again: one that began while it forgot the memory that is
// gone, and was not let in, must not be let in now.
extern "C" void* mmap64(void* address, std::size_t bytes, int protection, int flags, int descriptor,
                        std::int64_t offset) {
  if (ringwire::port::waits_for_bursts) ringwire::port::wait_for_bursts();
  return reinterpret_cast<void*>(  // the system call's word is the address, as in the C library
      ::syscall(SYS_mmap, address, bytes, protection, flags, descriptor, offset));
}
