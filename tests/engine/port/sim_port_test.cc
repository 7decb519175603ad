#include "engine/port/sim_port.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/endpoint_text.h"

namespace ringwire::port {
namespace {

const Endpoint kA = *parse_endpoint("10.0.0.1:1");
const Endpoint kB = *parse_endpoint("10.0.0.2:1");

/// Two ports on one network; payloads carry a number in their first four bytes.
class World {
 public:
  explicit World(SimPath path, std::uint64_t seed = 1) : network_(SimOptions{.seed = seed}) {
    network_.set_default_path(path);
    a_ = network_.make_port({.local = kA});
    b_ = network_.make_port({.local = kB, .receive_queue_bytes = 64U << 20});
    EXPECT_TRUE(a_->open_destination(kB, to_b_));
  }

  void send(std::uint32_t number, std::uint32_t bytes = 100) {
    TxPacket packet;
    ASSERT_EQ(a_->tx_alloc(std::span(&packet, 1)), 1U);
    std::memset(packet.data, 0, bytes);
    store_le<std::uint32_t>(packet.data, number);
    packet.bytes = bytes;
    packet.destination = to_b_;
    ASSERT_EQ(a_->tx_burst(std::span(&packet, 1)), 1U);
  }

  /// Numbers of what has arrived by `now`.
  std::vector<std::uint32_t> arrived_by(TimeNs now) {
    network_.advance(now);
    std::vector<std::uint32_t> numbers;
    std::array<RxPacket, kBurstPackets> packets;
    while (const std::size_t count = b_->rx_burst(packets)) {
      for (const RxPacket& packet : std::span(packets).first(count)) {
        numbers.push_back(load_le<std::uint32_t>(packet.bytes.data()));
        spoiled_ += std::any_of(packet.bytes.begin() + 4, packet.bytes.end(),
                                [](std::byte byte) { return byte != std::byte{}; });
      }
    }
    return numbers;
  }

  SimNetwork network_;
  std::unique_ptr<SimPort> a_;
  std::unique_ptr<SimPort> b_;
  DestinationId to_b_{};
  std::size_t spoiled_ = 0;
};

using Numbers = std::vector<std::uint32_t>;

TEST(SimPort, a_packet_arrives_after_the_delay_and_not_before) {
  World world({.delay_ns = 500});
  world.network_.advance(1'000);
  world.send(7);
  EXPECT_EQ(world.network_.next_event_ns(), 1'500);
  EXPECT_EQ(world.arrived_by(1'499), Numbers{});
  EXPECT_EQ(world.arrived_by(1'500), Numbers{7});
  EXPECT_EQ(world.network_.next_event_ns(), kNeverNs);
}

TEST(SimPort, jitter_spreads_arrivals_but_keeps_the_order) {
  World world({.delay_ns = 100, .jitter_ns = 1'000});
  Numbers sent;
  for (std::uint32_t number = 0; number < 100; ++number) {
    world.send(number);
    sent.push_back(number);
  }
  const Numbers early = world.arrived_by(600);
  EXPECT_LT(early.size(), 100U);
  Numbers all = early;
  const Numbers late = world.arrived_by(1'100);
  all.insert(all.end(), late.begin(), late.end());
  EXPECT_EQ(all, sent);
}

TEST(SimPort, the_bottleneck_paces_packets_and_its_queue_overflows) {
  // 128 bytes with headers at 128,000 bytes/s: one packet a millisecond, three in the queue.
  World world({.delay_ns = 0, .bytes_per_s = 128'000, .queue_bytes = 3 * 128});
  for (std::uint32_t number = 0; number < 5; ++number) world.send(number);
  EXPECT_EQ(world.arrived_by(1 * kMillisecondNs), Numbers{0});
  EXPECT_EQ(world.arrived_by(2 * kMillisecondNs), Numbers{1});
  EXPECT_EQ(world.arrived_by(10 * kMillisecondNs), Numbers{2});
  EXPECT_EQ(world.network_.counters().path_queue_full, 2U);
}

TEST(SimPort, a_cut_is_one_way_and_heals) {
  World world({});
  SimPath cut = world.network_.path(kA, kB);
  cut.direction = Direction::kCut;
  world.network_.set_path(kA, kB, cut);
  world.send(1);
  EXPECT_EQ(world.arrived_by(kSecondNs), Numbers{});
  EXPECT_EQ(world.network_.counters().cut, 1U);
  EXPECT_EQ(world.network_.path(kB, kA).direction, Direction::kOpen);
  world.network_.set_path(kA, kB, SimPath{});
  world.send(2);
  EXPECT_EQ(world.arrived_by(2 * kSecondNs), Numbers{2});
}

TEST(SimPort, what_exceeds_the_path_mtu_is_lost) {
  World world({.mtu_bytes = 1'500});
  world.send(1, 1'473);
  world.send(2, 1'472);
  EXPECT_EQ(world.arrived_by(kSecondNs), Numbers{2});
  EXPECT_EQ(world.network_.counters().too_large, 1U);
}

TEST(SimPort, losses_come_at_the_rate_asked_for) {
  World world({.loss = 0.2});
  std::size_t arrived = 0;
  for (std::uint32_t number = 0; number < 10'000; ++number) {
    world.send(number);
    arrived += world.arrived_by(number * kMillisecondNs).size();
  }
  arrived += world.arrived_by(20 * kSecondNs).size();
  EXPECT_EQ(arrived + world.network_.counters().lost, 10'000U);
  // Binomial: 2,000 +- 5 x 40.
  EXPECT_NEAR(static_cast<double>(world.network_.counters().lost), 2'000, 200);
}

TEST(SimPort, duplicates_reorderings_and_corruptions_happen_and_are_counted) {
  World world({.duplicate = 0.1, .reorder = 0.1, .corrupt = 0.1});
  Numbers got;
  for (std::uint32_t round = 0; round < 50; ++round) {
    for (std::uint32_t number = 0; number < 100; ++number) world.send(number);
    const Numbers now = world.arrived_by((round + 1) * kSecondNs);
    got.insert(got.end(), now.begin(), now.end());
  }
  const SimCounters& counters = world.network_.counters();
  EXPECT_EQ(got.size(), 5'000U + counters.duplicated);
  EXPECT_NEAR(static_cast<double>(counters.duplicated), 500, 110);
  EXPECT_NEAR(static_cast<double>(counters.reordered), 500, 110);
  EXPECT_NEAR(static_cast<double>(counters.corrupted), 550, 120);
  EXPECT_GT(world.spoiled_, 400U);
  EXPECT_FALSE(std::is_sorted(got.begin(), got.begin() + 100));
}

TEST(SimPort, one_seed_gives_one_trace) {
  const auto trace = [](std::uint64_t seed) {
    World world({.jitter_ns = 5'000, .loss = 0.1, .duplicate = 0.1, .reorder = 0.2}, seed);
    Numbers got;
    for (std::uint32_t number = 0; number < 500; ++number) {
      world.send(number);
      const Numbers now = world.arrived_by(number * 3'000);
      got.insert(got.end(), now.begin(), now.end());
    }
    return got;
  };
  EXPECT_EQ(trace(5), trace(5));
  EXPECT_NE(trace(5), trace(6));
}

TEST(SimPort, a_port_that_went_away_is_nobody_and_comes_back) {
  World world({});
  world.send(1);
  world.b_.reset();
  world.network_.advance(kSecondNs);
  EXPECT_EQ(world.network_.counters().nobody_there, 1U);
  world.send(2);
  world.b_ = world.network_.make_port({.local = kB});
  EXPECT_EQ(world.arrived_by(2 * kSecondNs), Numbers{2});
}

TEST(SimPort, more_packets_under_way_than_flights_are_lost_and_counted) {
  SimNetwork network(SimOptions{.flights_count = 2});
  const auto a = network.make_port({.local = kA});
  const auto b = network.make_port({.local = kB});
  DestinationId to_b{};
  ASSERT_TRUE(a->open_destination(kB, to_b));
  std::array<TxPacket, 3> packets;
  ASSERT_EQ(a->tx_alloc(packets), 3U);
  for (TxPacket& packet : packets) {
    packet.data[0] = std::byte{1};
    packet.bytes = 1;
    packet.destination = to_b;
  }
  EXPECT_EQ(a->tx_burst(packets), 3U);
  EXPECT_EQ(network.counters().flights_exhausted, 1U);
  network.advance(kSecondNs);
  std::array<RxPacket, kBurstPackets> received;
  EXPECT_EQ(b->rx_burst(received), 2U);
}

}  // namespace
}  // namespace ringwire::port
