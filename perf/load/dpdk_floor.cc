#include "perf/load/dpdk_floor.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/wire/crc32c.h"
#include "ipc/memory_file.h"

namespace ringwire::load {
namespace {

constexpr std::uint16_t kBurst = 32;
/// As a worker has of frames of 9 KB.
constexpr std::uint16_t kLargeBurst = 14;
/// Ethernet, IPv4 and UDP of a frame of ours.
constexpr std::uint32_t kHeaderBytes = 42;
/// IEEE 802's number for experiments.
constexpr std::uint16_t kEtherType = 0x88b5;
constexpr std::size_t kTypeAt = 12;
constexpr std::size_t kNumberAt = 14;
constexpr std::size_t kOffsetAt = 22;
constexpr std::size_t kChecksumAt = 30;

class Device {
 public:
  explicit Device(const Stage& stage) {
    RW_CHECK(rte_eth_dev_get_port_by_name(stage.device.c_str(), &id_) == 0);
    const std::string pool = "rw_" + std::to_string(id_) + "_0";
    pool_ = rte_mempool_lookup(pool.c_str());
    RW_CHECK(pool_ != nullptr);
  }

  rte_mbuf* frame(std::uint32_t bytes) {
    rte_mbuf* buffer = rte_pktmbuf_alloc(pool_);
    RW_CHECK(buffer != nullptr);
    buffer->data_len = static_cast<std::uint16_t>(bytes);
    buffer->pkt_len = bytes;
    store_le<std::uint16_t>(data(buffer) + kTypeAt, kEtherType);
    return buffer;
  }
  static std::byte* data(rte_mbuf* buffer) { return rte_pktmbuf_mtod(buffer, std::byte*); }
  static bool is_ours(rte_mbuf* buffer) {
    return buffer->data_len >= kHeaderBytes &&
           load_le<std::uint16_t>(data(buffer) + kTypeAt) == kEtherType;
  }

  void send(std::span<rte_mbuf*> buffers) {
    while (!buffers.empty())
      buffers = buffers.subspan(
          rte_eth_tx_burst(id_, 0, buffers.data(), static_cast<std::uint16_t>(buffers.size())));
  }
  std::span<rte_mbuf*> receive() {
    return std::span(received_).first(rte_eth_rx_burst(id_, 0, received_.data(), kBurst));
  }
  static void free(std::span<rte_mbuf*> buffers) {
    rte_pktmbuf_free_bulk(buffers.data(), static_cast<unsigned>(buffers.size()));
  }
  /// The scene is over: whatever is still under way is nobody's.
  void leave(Meeting& meeting) {
    meeting.meet();
    for (const TimeNs end = node::clock_now_ns() + kMillisecondNs; node::clock_now_ns() < end;)
      free(receive());
    meeting.meet();
  }

 private:
  std::uint16_t id_ = 0;
  rte_mempool* pool_ = nullptr;
  std::array<rte_mbuf*, kBurst> received_{};
};

/// `count` messages of `bytes`, one after the other in memory of the kind that programs have.
class Messages {
 public:
  Messages(std::uint64_t bytes, std::size_t count) : bytes_(bytes), count_(count) {
    auto made = ipc::MemoryFile::create("load-floor", bytes * count);
    RW_CHECK(made.ok());
    file_ = std::move(made).value();
  }
  std::byte* at(std::uint64_t message, std::uint64_t offset) {
    return file_.data() + (message % count_) * bytes_ + offset;
  }

 private:
  std::uint64_t bytes_;
  std::size_t count_;
  ipc::MemoryFile file_;
};

void send_copies(Stage& stage, Device& device, Messages& messages, std::uint64_t bytes) {
  const std::uint64_t piece = stage.port.max_payload_bytes();
  std::array<rte_mbuf*, kLargeBurst> buffers;
  const TimeNs end = node::clock_now_ns() + stage.scene_ns;
  for (std::uint64_t number = 0; node::clock_now_ns() < end; ++number) {
    for (std::uint64_t offset = 0; offset < bytes;) {
      std::size_t count = 0;
      for (; count < buffers.size() && offset < bytes; ++count) {
        const auto now = static_cast<std::uint32_t>(std::min(piece, bytes - offset));
        rte_mbuf* buffer = buffers[count] = device.frame(kHeaderBytes + now);
        std::byte* data = Device::data(buffer);
        store_le<std::uint64_t>(data + kNumberAt, number);
        store_le<std::uint64_t>(data + kOffsetAt, offset);
        store_le<std::uint32_t>(
            data + kChecksumAt,
            wire::copy_with_crc32c(0, data + kHeaderBytes, {messages.at(number, offset), now}));
        offset += now;
      }
      device.send(std::span(buffers).first(count));
    }
  }
}

void take_copies(Stage& stage, Device& device, Messages& messages) {
  Arrivals arrivals;
  while (!stage.meeting.stopped()) {
    std::uint64_t bytes = 0;
    const auto received = device.receive();
    for (rte_mbuf* buffer : received) {
      if (!Device::is_ours(buffer)) continue;
      const std::byte* data = Device::data(buffer);
      const std::size_t now = buffer->data_len - kHeaderBytes;
      std::byte* to = messages.at(load_le<std::uint64_t>(data + kNumberAt),
                                  load_le<std::uint64_t>(data + kOffsetAt));
      RW_CHECK(wire::copy_with_crc32c(0, to, {data + kHeaderBytes, now}) ==
               load_le<std::uint32_t>(data + kChecksumAt));
      bytes += now;
    }
    Device::free(received);
    if (bytes != 0) arrivals.add(node::clock_now_ns(), 1, bytes);
  }
  arrivals.tell(stage.meeting);
}

Figures copy(Stage& stage, std::uint64_t bytes, std::size_t count) {
  Device device(stage);
  Messages messages(bytes, count);
  stage.meeting.meet();
  if (stage.meeting.is_a()) {
    send_copies(stage, device, messages, bytes);
    stage.meeting.stop();
  } else {
    take_copies(stage, device, messages);
  }
  device.leave(stage.meeting);
  return stage.meeting.is_a() ? Arrivals::told(stage.meeting) : Figures{};
}

}  // namespace

Figures dpdk_ping(Stage& stage) {
  Device device(stage);
  Figures figures;
  stage.meeting.meet();
  const TimeNs deadline = Meeting::deadline();
  if (stage.meeting.is_a()) {
    RoundTrips trips(stage);
    std::uint64_t number = 0;
    do {
      rte_mbuf* buffer = device.frame(kSmallBytes);
      store_le<std::uint64_t>(Device::data(buffer) + kNumberAt, ++number);
      device.send(std::span(&buffer, 1));
      for (bool came = false; !came; stage.meeting.check(deadline)) {
        const auto received = device.receive();
        for (rte_mbuf* one : received)
          came |= Device::is_ours(one) &&
                  load_le<std::uint64_t>(Device::data(one) + kNumberAt) == number;
        Device::free(received);
      }
    } while (trips.next());
    figures = trips.figures(0);
    stage.meeting.stop();
  } else {
    while (!stage.meeting.stopped()) device.send(device.receive());
  }
  device.leave(stage.meeting);
  return figures;
}

Figures dpdk_frames(Stage& stage) {
  Device device(stage);
  stage.meeting.meet();
  if (stage.meeting.is_a()) {
    std::array<rte_mbuf*, kBurst> buffers;
    for (const TimeNs end = node::clock_now_ns() + stage.scene_ns; node::clock_now_ns() < end;) {
      for (rte_mbuf*& buffer : buffers) buffer = device.frame(kSmallBytes);
      device.send(buffers);
    }
    stage.meeting.stop();
  } else {
    Arrivals arrivals;
    while (!stage.meeting.stopped()) {
      const auto received = device.receive();
      if (!received.empty())
        arrivals.add(node::clock_now_ns(), received.size(), received.size() * kSmallBytes);
      Device::free(received);
    }
    arrivals.tell(stage.meeting);
  }
  device.leave(stage.meeting);
  return stage.meeting.is_a() ? Arrivals::told(stage.meeting) : Figures{};
}

Figures dpdk_copy_1mb(Stage& stage) { return copy(stage, kMegabyte, 4); }
Figures dpdk_copy_64mb(Stage& stage) { return copy(stage, 64 * kMegabyte, 2); }

}  // namespace ringwire::load
