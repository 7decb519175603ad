// A port whose far side is the test's own hands: what it is given is received next, what is sent is
// kept. Fuzz targets only; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "engine/port/port.h"

namespace ringwire::fuzz {

class HandPort final : public port::Port {
 public:
  static constexpr std::uint32_t kBytes = 1'200;

  std::size_t most_a_burst = 1'000;  ///< it takes no more

  void give(std::span<const std::byte> packet) {
    arriving_.emplace_back(packet.begin(), packet.end());
  }
  struct Sent {
    port::DestinationId destination{};
    std::vector<std::byte> bytes;
  };
  [[nodiscard]] std::vector<Sent> take_sent() { return std::exchange(sent_, {}); }

  std::uint32_t max_payload_bytes() const override { return kBytes; }
  std::uint64_t receive_queue_bytes() const override { return 1 << 20; }
  Endpoint local() const override { return {}; }
  /// The n-th destination has the number n.
  bool open_destination(const Endpoint&, port::DestinationId& destination) override {
    destination = static_cast<port::DestinationId>(destinations_++);
    return true;
  }
  void close_destination(port::DestinationId) override {}
  std::size_t rx_burst(std::span<port::RxPacket> packets) override {
    // Of exactly their size, so that a sanitizer sees one byte too many.
    received_ = std::exchange(arriving_, {});
    const std::size_t count = std::min(packets.size(), received_.size());
    for (std::size_t at = 0; at < count; ++at) packets[at] = {received_[at], {}};
    for (std::size_t at = count; at < received_.size(); ++at)
      arriving_.push_back(std::move(received_[at]));
    return count;
  }
  std::size_t tx_alloc(std::span<port::TxPacket> packets) override {
    std::size_t count = 0;
    while (count < packets.size() && free_count_ > 0) {
      packets[count] = {buffers_[free_[--free_count_]].data(), kBytes, 0, {}};
      ++count;
    }
    return count;
  }
  std::size_t tx_burst(std::span<const port::TxPacket> packets) override {
    packets = packets.first(std::min(packets.size(), most_a_burst));
    for (const port::TxPacket& packet : packets)
      sent_.push_back({packet.destination, {packet.data, packet.data + packet.bytes}});
    tx_free(packets);
    return packets.size();
  }
  void tx_free(std::span<const port::TxPacket> packets) override {
    for (const port::TxPacket& packet : packets)
      free_[free_count_++] = static_cast<std::size_t>(packet.data - buffers_[0].data()) / kBytes;
  }
  void flush() override {}
  int wait_descriptor() const override { return -1; }
  const port::PortCounters& counters() const override { return counters_; }

 private:
  static constexpr std::size_t kBuffers = 32;
  std::vector<std::vector<std::byte>> arriving_;
  std::vector<std::vector<std::byte>> received_;
  std::vector<Sent> sent_;
  std::array<std::array<std::byte, kBytes>, kBuffers> buffers_{};
  std::array<std::size_t, kBuffers> free_ = [] {
    std::array<std::size_t, kBuffers> all{};
    for (std::size_t at = 0; at < kBuffers; ++at) all[at] = at;
    return all;
  }();
  std::size_t free_count_ = kBuffers;
  std::uint32_t destinations_ = 0;
  port::PortCounters counters_;
};

}  // namespace ringwire::fuzz
