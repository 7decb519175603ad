// What a wire may bring to a DPDK port, and what several workers on one device owe each other:
// frames made by hand, over a pair of devices that are each other's wire.
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>

#include "base/endpoint_text.h"
#include "tests/conformance/dpdk_pair.h"
#include "tests/conformance/dpdk_rings.h"

namespace ringwire::port::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(20);
constexpr PairOptions kOptions{.address_a = "10.0.1.1:3200", .address_b = "10.0.1.2:3200"};
constexpr const char* kDeviceA = "net_ring_rwring2";
constexpr const char* kDeviceB = "net_ring_rwring3";

// Offsets into a frame of ours over IPv4.
constexpr std::size_t kIpAt = 14;
constexpr std::size_t kUdpAt = 34;
constexpr std::size_t kPayloadAt = 42;

Bytes text_bytes(const std::string& text) {
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::vector<Bytes> only(const Bytes& bytes) { return std::vector<Bytes>(1, bytes); }

std::uint16_t be16(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[at]) << 8 |
                                    std::to_integer<unsigned>(bytes[at + 1]));
}
void put16(Bytes& bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<std::byte>(value >> 8);
  bytes[at + 1] = static_cast<std::byte>(value & 0xff);
}
/// The IPv4 header's own checksum, after a change to it.
void mend_ip(Bytes& frame) {
  put16(frame, kIpAt + 10, 0);
  const auto header = std::span<const std::byte>(frame).subspan(kIpAt, 20);
  put16(frame, kIpAt + 10, static_cast<std::uint16_t>(~internet_sum(header)));
}

class DpdkWire : public testing::Test {
 protected:
  void SetUp() override {
    pair_ = &pair_of("dpdk_wire", ring_pair(1, kOptions));
    ASSERT_EQ(pair_->reason, "");
    ASSERT_TRUE(a().open_destination(b().local(), to_b_));
  }
  void TearDown() override {
    if (pair_->reason.empty()) a().close_destination(to_b_);
  }

  DpdkPort& a() { return *pair_->a.front(); }
  DpdkPort& b() { return *pair_->b.front(); }

  void send(DpdkPort& port, DestinationId destination, const Bytes& payload) {
    TxPacket packet;
    ASSERT_EQ(port.tx_alloc(std::span(&packet, 1)), 1U);
    std::memcpy(packet.data, payload.data(), payload.size());
    packet.bytes = static_cast<std::uint32_t>(payload.size());
    packet.destination = destination;
    ASSERT_EQ(port.tx_burst(std::span(&packet, 1)), 1U);
  }
  /// A frame as port a writes it for `payload`, taken from the wire.
  Bytes frame_of(const Bytes& payload) {
    send(a(), to_b_, payload);
    const std::vector<Bytes> frames = take_frames(kDeviceB);
    EXPECT_EQ(frames.size(), 1U);
    return frames.empty() ? Bytes{} : frames.front();
  }
  /// What b has received now.
  std::vector<Bytes> received() {
    std::array<RxPacket, kBurstPackets> packets;
    std::vector<Bytes> all;
    const std::size_t count = b().rx_burst(packets);
    for (const RxPacket& packet : std::span(packets).first(count))
      all.emplace_back(packet.bytes.begin(), packet.bytes.end());
    return all;
  }

  DevicePair* pair_ = nullptr;
  DestinationId to_b_{};
};

TEST_F(DpdkWire, a_frame_is_taken_as_it_was_sent) {
  const Bytes payload = text_bytes("as it was sent");
  ASSERT_TRUE(send_frame(kDeviceA, std::array{frame_of(payload)}));
  EXPECT_EQ(received(), only(payload));
}

TEST_F(DpdkWire, padding_behind_a_short_packet_is_not_part_of_it) {
  const Bytes payload = text_bytes("x");
  Bytes frame = frame_of(payload);
  frame.resize(60);
  ASSERT_TRUE(send_frame(kDeviceA, std::array{frame}));
  EXPECT_EQ(received(), only(payload));
}

TEST_F(DpdkWire, what_is_wrong_or_not_for_us_is_dropped_and_counted) {
  struct Row {
    const char* what;
    std::function<void(Bytes&)> change;
  };
  const auto flip = [](std::size_t at) {
    return [at](Bytes& frame) { frame[at] ^= std::byte{1}; };
  };
  const std::vector<Row> rows = {
      {"no Ethernet header", [](Bytes& frame) { frame.resize(13); }},
      {"another host's Ethernet address", flip(5)},
      {"another protocol", flip(13)},
      {"cut in the IP header", [](Bytes& frame) { frame.resize(kIpAt + 19); }},
      {"cut in the UDP header", [](Bytes& frame) { frame.resize(kUdpAt + 7); }},
      {"cut in the payload", [](Bytes& frame) { frame.resize(frame.size() - 1); }},
      {"IP version", flip(kIpAt)},
      {"IP options",
       [](Bytes& frame) {
         frame[kIpAt] = std::byte{0x46};
         mend_ip(frame);
       }},
      {"IP checksum", flip(kIpAt + 10)},
      {"another host's IP address",
       [](Bytes& frame) {
         frame[kIpAt + 19] ^= std::byte{1};
         mend_ip(frame);
       }},
      {"first fragment",
       [](Bytes& frame) {
         put16(frame, kIpAt + 6, 0x2000);
         mend_ip(frame);
       }},
      {"later fragment",
       [](Bytes& frame) {
         put16(frame, kIpAt + 6, 0x0001);
         mend_ip(frame);
       }},
      {"IP length beyond the frame",
       [](Bytes& frame) {
         put16(frame, kIpAt + 2, static_cast<std::uint16_t>(be16(frame, kIpAt + 2) + 1));
         mend_ip(frame);
       }},
      {"IP length below its header",
       [](Bytes& frame) {
         put16(frame, kIpAt + 2, 19);
         mend_ip(frame);
       }},
      {"UDP length beyond IP's",
       [](Bytes& frame) {
         put16(frame, kUdpAt + 4, static_cast<std::uint16_t>(be16(frame, kUdpAt + 4) + 1));
       }},
      {"UDP length below its header", [](Bytes& frame) { put16(frame, kUdpAt + 4, 7); }},
      {"no worker's UDP port",
       [](Bytes& frame) {
         put16(frame, kUdpAt + 2, static_cast<std::uint16_t>(be16(frame, kUdpAt + 2) + 1));
       }},
      {"UDP checksum", flip(kUdpAt + 6)},
      {"payload", flip(kPayloadAt)},
      {"a VLAN that is not ours",
       [](Bytes& frame) {
         const Bytes tag = {std::byte{0x81}, std::byte{0}, std::byte{0}, std::byte{7}};
         frame.insert(frame.begin() + 12, tag.begin(), tag.end());
       }},
      {"cut in the VLAN tag",
       [](Bytes& frame) {
         put16(frame, 12, 0x8100);
         frame.resize(16);
       }},
  };
  for (const Row& row : rows) {
    Bytes frame = frame_of(text_bytes("a payload of some bytes"));
    row.change(frame);
    const std::uint64_t before = b().counters().rx_errors;
    ASSERT_TRUE(send_frame(kDeviceA, std::array{frame})) << row.what;
    EXPECT_TRUE(received().empty()) << row.what;
    EXPECT_EQ(b().counters().rx_errors, before + 1) << row.what;
  }
  const Bytes payload = text_bytes("still there");
  send(a(), to_b_, payload);
  EXPECT_EQ(received(), only(payload));
}

// RFC 768: zero says that no checksum was made; whoever leaves it out says so for the whole frame.
TEST_F(DpdkWire, a_packet_without_a_udp_checksum_is_taken) {
  const Bytes payload = text_bytes("unchecked");
  Bytes frame = frame_of(payload);
  put16(frame, kUdpAt + 6, 0);
  ASSERT_TRUE(send_frame(kDeviceA, std::array{frame}));
  EXPECT_EQ(received(), only(payload));
}

// Only devices on this host's kernel leave a checksum half made; from any other it is a wrong one.
TEST_F(DpdkWire, a_half_made_checksum_is_wrong_from_a_device_that_has_a_wire) {
  Bytes frame = frame_of(text_bytes("half made"));
  Bytes pseudo(frame.begin() + kIpAt + 12, frame.begin() + kIpAt + 20);
  const std::uint16_t udp_bytes = be16(frame, kUdpAt + 4);
  put16(frame, kUdpAt + 6, internet_sum(pseudo, udp_bytes + 17U));
  ASSERT_TRUE(send_frame(kDeviceA, std::array{frame}));
  EXPECT_TRUE(received().empty());
}

TEST_F(DpdkWire, a_priority_tag_is_no_network) {
  const Bytes payload = text_bytes("urgent");
  Bytes frame = frame_of(payload);
  const Bytes tag = {std::byte{0x81}, std::byte{0}, std::byte{0xe0}, std::byte{0}};
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  ASSERT_TRUE(send_frame(kDeviceA, std::array{frame}));
  EXPECT_EQ(received(), only(payload));
}

TEST_F(DpdkWire, a_frame_in_several_buffers_is_one_packet) {
  const Bytes payload(3'000, std::byte{0x5a});
  const Bytes frame = frame_of(payload);
  for (const std::size_t first :
       {std::size_t{1}, std::size_t{14}, kPayloadAt, std::size_t{1'500}}) {
    const Bytes front(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(first));
    const Bytes back(frame.begin() + static_cast<std::ptrdiff_t>(first), frame.end());
    const Bytes middle(back.begin(), back.begin() + 9);
    const Bytes rest(back.begin() + 9, back.end());
    ASSERT_TRUE(send_frame(kDeviceA, std::array{front, middle, rest}));
    EXPECT_EQ(received(), only(payload)) << first;
  }
}

TEST_F(DpdkWire, a_frame_that_fits_no_buffer_is_dropped_and_counted) {
  const Bytes piece(8'000, std::byte{1});
  const std::uint64_t before = b().counters().rx_errors;
  ASSERT_TRUE(send_frame(kDeviceA, std::array{frame_of(Bytes(100)), piece, piece}));
  EXPECT_TRUE(received().empty());
  EXPECT_EQ(b().counters().rx_errors, before + 1);
}

// Nobody receives, so that the wire is full of packets that hold a's buffers.
TEST_F(DpdkWire, a_full_transmit_queue_is_refused_and_counted_and_opens_again) {
  const std::uint64_t before = a().counters().tx_full;
  std::uint64_t sent = 0;
  std::uint64_t refused = 0;
  while (refused == 0) {
    std::array<TxPacket, kBurstPackets> packets;
    const std::size_t count = a().tx_alloc(packets);
    ASSERT_EQ(count, packets.size());
    for (TxPacket& packet : packets) {
      packet.bytes = 1;
      packet.destination = to_b_;
    }
    const std::size_t taken = a().tx_burst(packets);
    a().tx_free(std::span(packets).subspan(taken));
    sent += taken;
    refused += count - taken;
  }
  EXPECT_GE(sent, 1'024U);
  EXPECT_EQ(a().counters().tx_full, before + 1);
  std::uint64_t arrived = 0;
  for (std::size_t count = 1; count != 0; arrived += count) count = received().size();
  EXPECT_EQ(arrived, sent);
  const Bytes payload = text_bytes("open again");
  send(a(), to_b_, payload);
  EXPECT_EQ(received(), only(payload));
}

TEST_F(DpdkWire, a_pool_without_buffers_is_counted_and_what_needs_none_goes_on) {
  const std::uint64_t before = a().counters().buffers_exhausted;
  const Bytes payload = text_bytes("to who has no buffer");
  DestinationId to_a{};
  ASSERT_TRUE(b().open_destination(a().local(), to_a));
  {
    const HeldBuffers held(kDeviceA);
    ASSERT_GT(held.count(), 1'000U);
    TxPacket packet;
    EXPECT_EQ(a().tx_alloc(std::span(&packet, 1)), 0U);
    EXPECT_EQ(a().counters().buffers_exhausted, before + 1);
    send(b(), to_a, payload);
    std::array<RxPacket, kBurstPackets> packets;
    ASSERT_EQ(a().rx_burst(packets), 1U);
    EXPECT_EQ(Bytes(packets[0].bytes.begin(), packets[0].bytes.end()), payload);
  }
  b().close_destination(to_a);
  send(a(), to_b_, payload);
  EXPECT_EQ(received(), only(payload));
}

// ---- several workers on one device --------------------------------------------------------------

class DpdkWorkers : public testing::Test {
 protected:
  static constexpr PairOptions kTwoWorkers{
      .address_a = "10.0.2.1:3200", .address_b = "10.0.2.2:3200", .queues_count = 2};
  void SetUp() override {
    pair_ = &pair_of("dpdk_workers", ring_pair(2, kTwoWorkers));
    ASSERT_EQ(pair_->reason, "");
  }
  DevicePair* pair_ = nullptr;
};

// Queue i of one device is wired to queue i of the other, whatever UDP port a packet has.
TEST_F(DpdkWorkers, hand_over_what_came_to_the_wrong_queue_in_order) {
  for (std::uint32_t from = 0; from < 2; ++from)
    for (std::uint32_t to = 0; to < 2; ++to) {
      DpdkPort& sender = *pair_->a[from];
      DpdkPort& receiver = *pair_->b[to];
      DestinationId destination{};
      ASSERT_TRUE(sender.open_destination(receiver.local(), destination));
      EXPECT_EQ(receiver.local().port, 3'200 + to);
      std::array<TxPacket, 40> packets;
      ASSERT_EQ(sender.tx_alloc(packets), packets.size());
      for (std::size_t number = 0; number < packets.size(); ++number) {
        packets[number].data[0] = static_cast<std::byte>(number);
        packets[number].bytes = 1;
        packets[number].destination = destination;
      }
      ASSERT_EQ(sender.tx_burst(packets), packets.size());
      std::vector<int> numbers;
      const auto deadline = Clock::now() + kPatience;
      while (numbers.size() < packets.size() && Clock::now() < deadline) {
        std::array<RxPacket, kBurstPackets> received;
        EXPECT_EQ(pair_->b[1 - to]->rx_burst(received), 0U);
        const std::size_t count = receiver.rx_burst(received);
        for (const RxPacket& packet : std::span(received).first(count)) {
          numbers.push_back(std::to_integer<int>(packet.bytes[0]));
          EXPECT_EQ(packet.source, sender.local());
        }
      }
      ASSERT_EQ(numbers.size(), packets.size()) << from << " to " << to;
      for (std::size_t at = 0; at < numbers.size(); ++at)
        EXPECT_EQ(numbers[at], static_cast<int>(at));
      sender.close_destination(destination);
    }
}

TEST_F(DpdkWorkers, a_worker_that_takes_nothing_costs_its_own_packets_only) {
  DpdkPort& sender = *pair_->a[0];
  DpdkPort& stuck = *pair_->b[1];
  DpdkPort& other = *pair_->b[0];
  DestinationId to_stuck{};
  DestinationId to_other{};
  ASSERT_TRUE(sender.open_destination(stuck.local(), to_stuck));
  ASSERT_TRUE(sender.open_destination(other.local(), to_other));
  const std::uint64_t dropped_before = other.counters().rx_errors;
  constexpr std::uint64_t kRounds = 20;
  std::uint64_t arrived = 0;
  std::array<RxPacket, kBurstPackets> received;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    std::array<TxPacket, 32> packets;
    ASSERT_EQ(sender.tx_alloc(packets), packets.size());
    for (std::size_t at = 0; at < packets.size(); ++at) {
      packets[at].bytes = 1;
      packets[at].destination = at % 2 == 0 ? to_stuck : to_other;
    }
    ASSERT_EQ(sender.tx_burst(packets), packets.size());
    arrived += other.rx_burst(received);
  }
  EXPECT_EQ(arrived, kRounds * 16);
  // 256 wait for it at most; the ring that holds them loses one place to its own bookkeeping.
  const std::uint64_t dropped = other.counters().rx_errors - dropped_before;
  EXPECT_EQ(dropped, kRounds * 16 - 255);
  std::uint64_t late = 0;
  for (std::size_t count = 1; count != 0; late += count) count = stuck.rx_burst(received);
  EXPECT_EQ(late, 255U);
  sender.close_destination(to_stuck);
  sender.close_destination(to_other);
}

}  // namespace
}  // namespace ringwire::port::conformance
