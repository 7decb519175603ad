#include "tests/conformance/port_suite.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/endpoint_text.h"
#include "base/hash.h"

namespace ringwire::port::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(20);

bool may_skip(std::string_view lane) {
  const char* text = std::getenv("ALLOW_SKIP");
  std::string_view names = text == nullptr ? "" : text;
  while (!names.empty()) {
    const std::size_t comma = names.find(',');
    if (names.substr(0, comma) == lane) return true;
    names.remove_prefix(comma == std::string_view::npos ? names.size() : comma + 1);
  }
  return false;
}

using Payload = std::vector<std::byte>;

/// A payload that tells its number (if it has four bytes) and depends on it in every byte.
Payload payload_of(std::uint32_t number, std::size_t bytes) {
  Payload payload(bytes);
  for (std::size_t index = 0; index < bytes; ++index)
    payload[index] = static_cast<std::byte>(mix64(number * 0x10001ULL + index / 8) >> (index % 8));
  if (bytes >= 4) store_le<std::uint32_t>(payload.data(), number);
  return payload;
}

struct Received {
  Payload payload;
  Endpoint source;
  [[nodiscard]] std::uint32_t number() const { return load_le<std::uint32_t>(payload.data()); }
  [[nodiscard]] bool intact() const { return payload == payload_of(number(), payload.size()); }
};

/// One side of the lane: sends numbered payloads, collects what arrives.
class Side {
 public:
  Side(Lane& lane, Port& port) : lane_(lane), port_(port), before_(port.counters()) {}

  ~Side() {
    for (const DestinationId destination : opened_) port_.close_destination(destination);
  }
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  /// Open for as long as this side lives.
  DestinationId open(const Endpoint& remote) {
    DestinationId destination{};
    EXPECT_TRUE(port_.open_destination(remote, destination));
    opened_.push_back(destination);
    return destination;
  }

  struct Item {
    DestinationId destination{};
    std::uint32_t number = 0;
    std::size_t bytes = 0;
  };

  /// Offers up to one burst once; what is not taken is freed. Returns how many were taken. Where
  /// the port gathers, every other packet has its middle third elsewhere.
  std::size_t offer(std::span<const Item> items) {
    std::vector<TxPacket> packets(items.size());
    std::vector<Payload> elsewhere;
    elsewhere.reserve(items.size());
    const std::size_t count = port_.tx_alloc(packets);
    EXPECT_EQ(count, items.size());
    for (std::size_t index = 0; index < count; ++index) {
      const Payload payload = payload_of(items[index].number, items[index].bytes);
      EXPECT_GE(packets[index].capacity_bytes, port_.max_payload_bytes());
      std::memcpy(packets[index].data, payload.data(),
                  std::min<std::size_t>(payload.size(), packets[index].capacity_bytes));
      packets[index].bytes = static_cast<std::uint32_t>(payload.size());
      packets[index].destination = items[index].destination;
      if (!port_.gathers() || items[index].number % 2 == 0 || payload.size() < 3 ||
          payload.size() > packets[index].capacity_bytes)
        continue;
      const std::size_t third = payload.size() / 3;
      const auto middle = std::span(elsewhere.emplace_back(payload)).subspan(third, third);
      packets[index].gathered = middle;
      packets[index].gather_at_bytes = static_cast<std::uint32_t>(third);
      std::memmove(packets[index].data + third, packets[index].data + 2 * third,
                   payload.size() - 2 * third);
    }
    const std::size_t taken = port_.tx_burst(std::span(packets).first(count));
    port_.tx_free(std::span(packets).subspan(taken, count - taken));
    port_.flush();
    return taken;
  }

  /// Sends all, in bursts, retrying what the port could not take.
  void send(std::span<const Item> items) {
    const auto deadline = Clock::now() + kPatience;
    while (!items.empty() && Clock::now() < deadline) {
      const std::size_t taken = offer(items.first(std::min(items.size(), kBurstPackets)));
      items = items.subspan(taken);
      if (taken == 0) lane_.step();
    }
    ASSERT_TRUE(items.empty()) << items.size() << " packets were never taken";
  }

  void send(DestinationId destination, std::uint32_t number, std::size_t bytes) {
    const Item item{destination, number, bytes};
    send(std::span(&item, 1));
  }

  /// Receives until `count` payloads have come, or patience ends.
  std::vector<Received> receive(std::size_t count) {
    std::vector<Received> all;
    const auto deadline = Clock::now() + kPatience;
    while (all.size() < count && Clock::now() < deadline) {
      if (take_burst(all) == 0) lane_.step();
    }
    EXPECT_EQ(all.size(), count);
    return all;
  }

  /// Receives until the payload with that number has come, which is included.
  std::vector<Received> receive_until(std::uint32_t number) {
    std::vector<Received> all;
    const auto deadline = Clock::now() + kPatience;
    while (Clock::now() < deadline) {
      const std::size_t count = take_burst(all);
      if (count == 0) lane_.step();
      for (std::size_t index = all.size() - count; index < all.size(); ++index)
        if (all[index].number() == number) return all;
    }
    ADD_FAILURE() << "packet " << number << " did not arrive";
    return all;
  }

  /// Counted since the test began.
  [[nodiscard]] PortCounters counted() const {
    const PortCounters& now = port_.counters();
    PortCounters difference;
    difference.rx_packets = now.rx_packets - before_.rx_packets;
    difference.rx_bytes = now.rx_bytes - before_.rx_bytes;
    difference.tx_packets = now.tx_packets - before_.tx_packets;
    difference.tx_bytes = now.tx_bytes - before_.tx_bytes;
    difference.rx_errors = now.rx_errors - before_.rx_errors;
    difference.tx_errors = now.tx_errors - before_.tx_errors;
    difference.tx_full = now.tx_full - before_.tx_full;
    difference.buffers_exhausted = now.buffers_exhausted - before_.buffers_exhausted;
    return difference;
  }

  std::size_t take_burst(std::vector<Received>& all) {
    std::array<RxPacket, kBurstPackets> packets;
    const std::size_t count = port_.rx_burst(packets);
    for (std::size_t index = 0; index < count; ++index) {
      const RxPacket& packet = packets[index];
      all.push_back({Payload(packet.bytes.begin(), packet.bytes.end()), packet.source});
    }
    return count;
  }

 private:
  Lane& lane_;
  Port& port_;
  PortCounters before_;
  std::vector<DestinationId> opened_;
};

std::vector<Side::Item> items_of(DestinationId destination, std::uint32_t count,
                                 std::size_t bytes) {
  std::vector<Side::Item> items;
  for (std::uint32_t number = 0; number < count; ++number)
    items.push_back({destination, number, bytes});
  return items;
}

/// A number that no other packet of a test has.
constexpr std::uint32_t kLast = 0xffff'ffff;

}  // namespace

void PortConformance::SetUp() {
  LaneOrReason made = GetParam().make();
  lane_ = std::move(made.lane);
  if (lane_ != nullptr) return;
  // For who counts (tests/count.py).
  std::printf("LANE %s: cannot run: %s\n", GetParam().name.c_str(), made.reason.c_str());
  if (may_skip(GetParam().name)) GTEST_SKIP() << GetParam().name << " cannot run: " << made.reason;
  FAIL() << GetParam().name << " cannot run here: " << made.reason
         << " (ALLOW_SKIP=" << GetParam().name << " accepts that)";
}

TEST_P(PortConformance, payloads_of_every_size_arrive_intact_from_the_right_source) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  const DestinationId to_b = a.open(lane_->b().local());
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{2}, std::size_t{17},
                                  std::size_t{1400}, std::size_t{lane_->a().max_payload_bytes()}}) {
    a.send(to_b, 7, bytes);
    const auto got = b.receive(1);
    ASSERT_EQ(got.size(), 1U) << bytes;
    EXPECT_EQ(got[0].payload, payload_of(7, bytes)) << bytes;
    EXPECT_EQ(got[0].source, lane_->a().local()) << endpoint_text(got[0].source);
  }
}

TEST_P(PortConformance, an_answer_to_the_source_arrives) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  a.send(a.open(lane_->b().local()), 1, 100);
  const auto asked = b.receive(1);
  ASSERT_EQ(asked.size(), 1U);
  b.send(b.open(asked[0].source), 2, 200);
  const auto answered = a.receive(1);
  ASSERT_EQ(answered.size(), 1U);
  EXPECT_EQ(answered[0].payload, payload_of(2, 200));
  EXPECT_EQ(answered[0].source, lane_->b().local());
}

TEST_P(PortConformance, a_burst_arrives_in_order) {
  for (const std::size_t bytes : {std::size_t{64}, std::size_t{1400}}) {
    Side a(*lane_, lane_->a());
    Side b(*lane_, lane_->b());
    const DestinationId to_b = a.open(lane_->b().local());
    a.send(items_of(to_b, kBurstPackets, bytes));
    const auto got = b.receive(kBurstPackets);
    ASSERT_EQ(got.size(), kBurstPackets);
    for (std::uint32_t number = 0; number < kBurstPackets; ++number)
      EXPECT_EQ(got[number].payload, payload_of(number, bytes)) << number;
  }
}

TEST_P(PortConformance, one_burst_call_moves_at_most_a_burst) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  const DestinationId to_b = a.open(lane_->b().local());
  std::vector<Side::Item> items = items_of(to_b, kBurstPackets + 1, 64);
  EXPECT_LE(a.offer(items), kBurstPackets);
  EXPECT_EQ(b.receive(kBurstPackets).size(), kBurstPackets);
}

// Batching must neither merge, split nor mix up packets, whatever their sizes and destinations.
TEST_P(PortConformance, sizes_and_destinations_may_alternate_within_a_burst) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  const DestinationId to_b = a.open(lane_->b().local());
  const DestinationId to_self = a.open(lane_->a().local());
  const DestinationId to_b_again = a.open(lane_->b().local());
  const std::size_t largest = lane_->a().max_payload_bytes();
  const std::array<std::size_t, 8> sizes = {900, 900, 900, 40, 900, 1200, 1200, largest};
  std::vector<Side::Item> items;
  std::size_t for_b = 0;
  for (std::uint32_t number = 0; number < kBurstPackets; ++number) {
    const DestinationId destination = number % 5 == 3   ? to_self
                                      : number % 3 == 0 ? to_b_again
                                                        : to_b;
    if (destination != to_self) ++for_b;
    // Runs of equal packets, their shorter ends, and single ones; few large ones, as the queue is
    // small in this test.
    const std::size_t bytes = sizes[number % 16 == 7 ? 7 : number % 7];
    items.push_back({destination, number, bytes});
  }
  a.send(items);
  const auto got = b.receive(for_b);
  std::size_t next = 0;
  for (const Side::Item& item : items) {
    if (item.destination == to_self) continue;
    ASSERT_LT(next, got.size());
    EXPECT_EQ(got[next].payload, payload_of(item.number, item.bytes)) << item.number;
    ++next;
  }
}

// The queue overflows when nobody receives: packets may be lost, or refused at the sender, but
// never changed, and the counters tell how many.
TEST_P(PortConformance, an_overflowing_queue_loses_packets_but_never_corrupts_one) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  const DestinationId to_b = a.open(lane_->b().local());
  const std::size_t bytes = lane_->a().max_payload_bytes();
  const std::uint64_t queue_bytes = lane_->b().receive_queue_bytes();
  const auto count = static_cast<std::uint32_t>(20 * queue_bytes / bytes + 2 * kBurstPackets);
  const auto items = items_of(to_b, count, bytes);
  std::size_t taken = 0;
  for (std::size_t next = 0; next < items.size(); next += kBurstPackets)
    taken += a.offer(std::span(items).subspan(next, std::min(kBurstPackets, items.size() - next)));
  EXPECT_EQ(a.counted().tx_packets + a.counted().tx_errors, taken);

  lane_->step();
  std::vector<Received> got;
  // Empty the queue once it is full, then show that the way is open again.
  while (b.take_burst(got) != 0) lane_->step();
  EXPECT_LT(got.size(), items.size());
  EXPECT_GE(got.size() * bytes, std::min<std::uint64_t>(queue_bytes, taken * bytes) - bytes);
  a.send(to_b, kLast, 64);
  const auto more = b.receive_until(kLast);
  got.insert(got.end(), more.begin(), more.end());
  std::set<std::uint32_t> numbers;
  for (const Received& received : got) {
    EXPECT_TRUE(received.intact()) << received.number();
    EXPECT_TRUE(numbers.insert(received.number()).second) << received.number() << " twice";
  }
  EXPECT_EQ(b.counted().rx_packets, got.size());
}

TEST_P(PortConformance, buffers_run_out_and_come_back) {
  Side a(*lane_, lane_->a());
  Port& port = lane_->a();
  std::vector<TxPacket> packets(100'000);
  const std::size_t count = port.tx_alloc(packets);
  ASSERT_GE(count, kBurstPackets);
  ASSERT_LT(count, packets.size());
  EXPECT_EQ(a.counted().buffers_exhausted, 1U);
  std::set<const std::byte*> distinct;
  for (std::size_t index = 0; index < count; ++index) distinct.insert(packets[index].data);
  EXPECT_EQ(distinct.size(), count);
  TxPacket one;
  EXPECT_EQ(port.tx_alloc(std::span(&one, 1)), 0U);
  EXPECT_EQ(a.counted().buffers_exhausted, 2U);

  port.tx_free(std::span(packets).first(count));
  std::vector<TxPacket> again(count);
  EXPECT_EQ(port.tx_alloc(again), count);
  port.tx_free(again);
}

TEST_P(PortConformance, sending_gives_its_buffers_back) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  const DestinationId to_b = a.open(lane_->b().local());
  // Far more than there are buffers; offer() fails the test when none can be had.
  for (std::uint32_t round = 0; round < 40; ++round) {
    std::vector<Side::Item> items = items_of(to_b, 50, 100);
    a.send(items);
    EXPECT_EQ(b.receive(50).size(), 50U);
  }
}

TEST_P(PortConformance, what_can_never_be_sent_counts_as_taken_and_as_an_error) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  Port& port = lane_->a();
  const DestinationId to_b = a.open(lane_->b().local());
  DestinationId closed{};
  ASSERT_TRUE(port.open_destination(lane_->b().local(), closed));
  port.close_destination(closed);
  std::array<TxPacket, 5> packets;
  ASSERT_EQ(port.tx_alloc(packets), packets.size());
  for (std::size_t index = 0; index < packets.size(); ++index) {
    const Payload payload = payload_of(static_cast<std::uint32_t>(index), 64);
    std::memcpy(packets[index].data, payload.data(), payload.size());
    packets[index].bytes = 64;
    packets[index].destination = to_b;
  }
  packets[1].bytes = port.max_payload_bytes() + 1;
  packets[2].bytes = 0;
  packets[3].destination = closed;
  EXPECT_EQ(port.tx_burst(packets), packets.size());
  port.flush();
  const auto got = b.receive_until(4);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].payload, payload_of(0, 64));
  EXPECT_EQ(got[1].payload, payload_of(4, 64));
  EXPECT_EQ(a.counted().tx_errors, 3U);
  EXPECT_EQ(a.counted().tx_packets, 2U);
}

TEST_P(PortConformance, the_destination_table_has_a_limit_and_closing_makes_room) {
  Port& port = lane_->a();
  const Endpoint remote = lane_->b().local();
  std::vector<DestinationId> opened;
  DestinationId destination{};
  while (opened.size() <= kDestinations && port.open_destination(remote, destination))
    opened.push_back(destination);
  EXPECT_EQ(opened.size(), kDestinations);
  const std::set<DestinationId> distinct(opened.begin(), opened.end());
  EXPECT_EQ(distinct.size(), opened.size());
  EXPECT_FALSE(port.open_destination(remote, destination));
  port.close_destination(opened[1]);
  EXPECT_TRUE(port.open_destination(remote, opened[1]));
  EXPECT_FALSE(port.open_destination(remote, destination));
  for (const DestinationId open : opened) port.close_destination(open);
}

// What the port announces is what peers will keep in flight: it must all fit while nobody receives.
TEST_P(PortConformance, the_announced_receive_queue_holds_what_it_says) {
  const std::size_t largest = lane_->a().max_payload_bytes();
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{64}, std::size_t{700}, std::size_t{1400}, std::size_t{1700},
        std::size_t{2500}, std::size_t{4200}, largest}) {
    if (bytes > largest) continue;
    Side a(*lane_, lane_->a());
    Side b(*lane_, lane_->b());
    const DestinationId to_b = a.open(lane_->b().local());
    const std::size_t charge = std::max<std::size_t>(bytes, kPacketChargeBytes);
    const auto count = static_cast<std::uint32_t>(lane_->b().receive_queue_bytes() / charge);
    ASSERT_GE(count, 8U) << "too small a queue to be of use";
    a.send(items_of(to_b, count, bytes));
    EXPECT_EQ(b.receive(count).size(), count) << "of " << bytes << " bytes";
  }
}

TEST_P(PortConformance, received_bytes_stay_valid_until_the_next_receive) {
  Side a(*lane_, lane_->a());
  const DestinationId to_b = a.open(lane_->b().local());
  a.send(items_of(to_b, 40, 1000));
  std::array<RxPacket, 16> packets;
  std::uint32_t next = 0;
  const auto deadline = Clock::now() + kPatience;
  while (next < 40 && Clock::now() < deadline) {
    const std::size_t count = lane_->b().rx_burst(packets);
    if (count == 0) lane_->step();
    // More arrives while these are held.
    for (std::size_t index = 0; index < count; ++index, ++next) {
      const Payload payload(packets[index].bytes.begin(), packets[index].bytes.end());
      EXPECT_EQ(payload, payload_of(next, 1000)) << next;
    }
  }
  EXPECT_EQ(next, 40U);
}

TEST_P(PortConformance, the_wait_descriptor_is_readable_while_a_packet_waits) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  const int fd = lane_->b().wait_descriptor();
  if (fd < 0) {
    EXPECT_EQ(fd, -1);
    return;
  }
  pollfd waiting{fd, POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 0), 0);
  a.send(a.open(lane_->b().local()), 3, 64);
  EXPECT_EQ(poll(&waiting, 1, 20'000), 1);
  EXPECT_EQ(b.receive(1).size(), 1U);
  EXPECT_EQ(poll(&waiting, 1, 0), 0);
}

TEST_P(PortConformance, counters_add_up) {
  Side a(*lane_, lane_->a());
  Side b(*lane_, lane_->b());
  const DestinationId to_b = a.open(lane_->b().local());
  std::uint64_t bytes = 0;
  for (std::uint32_t number = 0; number < 30; ++number) {
    a.send(to_b, number, 10 + number);
    bytes += 10 + number;
  }
  EXPECT_EQ(b.receive(30).size(), 30U);
  const PortCounters sent = a.counted();
  const PortCounters received = b.counted();
  EXPECT_EQ(sent.tx_packets, 30U);
  EXPECT_EQ(sent.tx_bytes, bytes);
  EXPECT_EQ(sent.tx_errors, 0U);
  EXPECT_EQ(received.rx_packets, 30U);
  EXPECT_EQ(received.rx_bytes, bytes);
  EXPECT_EQ(received.rx_errors, 0U);
}

}  // namespace ringwire::port::conformance
