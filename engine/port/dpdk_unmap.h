// When DPDK may unmap memory (docs/decisions/0012). net_memif unmaps what a peer that is gone gave,
// on DPDK's interrupt thread, also while another thread is in the middle of a burst there; and the
// end of EAL unmaps what the interrupt thread still looks at. So munmap and mmap of this program
// are ours: on the interrupt thread they wait for the bursts that had begun, and the end of EAL
// leaves its memory to the end of the process. Marking a burst is hot: two stores to a line of its
// own.
//
// field            | written by                      | read by                 | cache line
// ---------------- | ------------------------------- | ----------------------- | -------------
// BurstMark::count | the thread that polls the queue | DPDK's interrupt thread | one of its own
//
// Odd while a burst goes on. The driver turns bursts away (a flag) before it unmaps. The mark of a
// burst that did not see the flag is in sight of the interrupt thread, because that puts a barrier
// on all others (membarrier) between the flag and its look at the marks; one that began later sees
// the flag.
#pragma once

#include <atomic>
#include <cstdint>

namespace ringwire::port {

class BurstMark {
 public:
  BurstMark() = default;
  BurstMark(const BurstMark&) = delete;
  BurstMark& operator=(const BurstMark&) = delete;

  void begin() {
    // Relaxed: the barrier of who reads it orders it (see above); only this thread writes it.
    count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void end() {
    // Relaxed load: only this thread writes it. Release: pairs with the acquire in count(); what
    // the burst read and wrote is behind it.
    count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  /// Acquire: pairs with the release in end(); what the burst did is done.
  [[nodiscard]] std::uint32_t count() const { return count_.load(std::memory_order_acquire); }

 private:
  alignas(64) std::atomic<std::uint32_t> count_{0};
};

/// A burst, for as long as it lives.
class Burst {
 public:
  explicit Burst(BurstMark& mark) : mark_(mark) { mark_.begin(); }
  ~Burst() { mark_.end(); }
  Burst(const Burst&) = delete;
  Burst& operator=(const Burst&) = delete;

 private:
  BurstMark& mark_;
};

inline constexpr std::uint32_t kMostMarkedDevices = 32;
inline constexpr std::uint32_t kMostMarkedQueues = 16;  ///< of a device
/// The mark of a queue, until the program ends. Thread: any; who polls the queue writes it.
[[nodiscard]] BurstMark& burst_mark(std::uint32_t device, std::uint32_t queue);

/// From now on munmap and mmap of this thread wait for bursts. For DPDK's interrupt thread.
void wait_for_bursts_on_this_thread();

/// While one lives, munmap of this thread does nothing: its memory goes with the process.
class MemoryStays {
 public:
  MemoryStays();
  ~MemoryStays();
  MemoryStays(const MemoryStays&) = delete;
  MemoryStays& operator=(const MemoryStays&) = delete;
};

}  // namespace ringwire::port
