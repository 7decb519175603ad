// The way between the workers of one engine: for each ordered pair a bounded box of packets, filled
// and read in place, and for each worker a flag that says whether it sleeps. Over it two workers of
// a node speak the same sessions as two nodes do (docs/decisions/0002), so that credit, order,
// withdrawal and results need no second protocol; nothing is lost on it and a full box refuses.
// Hot; one worker per end of a box.
//
// Fields and order: a packet's slot belongs to the sender while its index is in `free`, to the
// receiver while it is in `filled`; boost::lockfree::spsc_queue publishes with release and consumes
// with acquire, so that the bytes travel with the index.
#pragma once

#include <array>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/worker/mailbox.h"

namespace ringwire::worker {

/// As large as a frame on a path of 9,000-byte packets; a multiple of a cache line.
inline constexpr std::uint32_t kCrossingPacketBytes = 8'960;
/// 32: 286 KB, which a worker reads in about 50 us; the session has no more in flight than that.
inline constexpr std::uint32_t kCrossingPackets = 32;
/// Messages of one direction with such a session at once.
inline constexpr std::uint32_t kCrossingSlots = 1'024;

class PacketBox {
 public:
  PacketBox();
  PacketBox(const PacketBox&) = delete;
  PacketBox& operator=(const PacketBox&) = delete;

  // --- sender ---
  /// Room for the next packet; empty when the box is full. The same room until publish().
  [[nodiscard]] std::span<std::byte> claim();
  /// Hand over the first `packet_bytes` of what was claimed.
  void publish(std::uint32_t packet_bytes);

  // --- receiver ---
  /// The oldest packet, empty when there is none; readable until pop().
  [[nodiscard]] std::span<const std::byte> front();
  void pop();
  [[nodiscard]] bool empty() const { return filled_.read_available() == 0; }

 private:
  using Indices =
      boost::lockfree::spsc_queue<std::uint32_t, boost::lockfree::capacity<kCrossingPackets>>;
  static constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

  Indices free_;
  Indices filled_;
  alignas(64) std::uint32_t claimed_ = kNoSlot;  // the sender's
  std::array<std::uint32_t, kCrossingPackets> packet_bytes_{};
  std::unique_ptr<std::byte[]> slots_;
};

/// All boxes and flags of an engine. Made before its workers; outlives them.
class Crossing {
 public:
  explicit Crossing(std::uint32_t worker_count);

  /// For two different workers.
  [[nodiscard]] PacketBox& box(std::uint32_t from, std::uint32_t to);
  [[nodiscard]] SleepFlag& sleeper(std::uint32_t worker) { return sleepers_[worker]; }

  /// Bytes that one worker's boxes to the others take, for the memory sum.
  [[nodiscard]] static std::uint64_t memory_bytes(std::uint32_t worker_count);

 private:
  std::uint32_t worker_count_;
  std::vector<std::unique_ptr<PacketBox>> boxes_;  // from * worker_count + to
  std::unique_ptr<SleepFlag[]> sleepers_;
};

}  // namespace ringwire::worker
