#include "engine/transport/congestion.h"

#include <gtest/gtest.h>

namespace ringwire::transport {
namespace {

constexpr std::uint64_t kLimit = 1 << 20;

/// One round trip of packets of 1,200 bytes; returns whether the window was reduced.
struct Path {
  Congestion congestion{kLimit, 1'200};
  std::uint64_t number = 1;
  bool round(std::uint64_t acked, std::uint64_t lost, DurationNs rtt_ns = 100'000) {
    for (std::uint64_t packet = 0; packet < acked; ++packet) congestion.on_acked(1'200, true);
    congestion.on_lost(lost);
    congestion.on_rtt(rtt_ns);
    number += acked + lost;
    return congestion.end_round(number - 1, number, 100'000);
  }
};

// W-50
TEST(Congestion, opens_to_the_receive_queue_and_never_beyond) {
  Path path;
  EXPECT_EQ(path.congestion.window_bytes(), 65'536U);
  for (int round = 0; round < 10; ++round)
    EXPECT_FALSE(path.round(path.congestion.window_bytes() / 1'200, 0));
  EXPECT_EQ(path.congestion.window_bytes(), kLimit);
}

// W-50
TEST(Congestion, takes_a_tenth_of_the_packets_lost_for_noise) {
  Path path;
  for (int round = 0; round < 20; ++round) EXPECT_FALSE(path.round(90, 10));
  EXPECT_EQ(path.congestion.window_bytes(), kLimit);
}

// W-50
TEST(Congestion, gives_way_to_heavy_loss_gently_and_not_below_a_few_packets) {
  Path path;
  path.round(60, 0);
  const std::uint64_t before = path.congestion.window_bytes();
  EXPECT_TRUE(path.round(0, 40));
  EXPECT_EQ(path.congestion.window_bytes(), before * 80 / 100);
  for (int round = 0; round < 100; ++round) path.round(0, 40);
  EXPECT_EQ(path.congestion.window_bytes(), kMinFlightPackets * 1'200);
  for (int round = 0; round < 200; ++round) path.round(40, 0);
  EXPECT_EQ(path.congestion.window_bytes(), kLimit);
}

// W-50
TEST(Congestion, gives_way_to_a_queue_that_grew) {
  Path path;
  EXPECT_FALSE(path.round(20, 0, 2'300'000));
  EXPECT_TRUE(path.round(20, 0, 2'300'001));
}

// W-50
TEST(Congestion, forgets_what_was_measured_across_a_pause) {
  Path path;
  path.congestion.on_lost(100);
  path.congestion.on_pause();
  EXPECT_FALSE(path.round(60, 0));
}

// W-50
TEST(Congestion, a_window_below_one_packet_still_lets_one_go) {
  const Congestion congestion(1'000, 1'200);
  EXPECT_TRUE(congestion.allows(0, 1'200));
  EXPECT_FALSE(congestion.allows(1, 1'200));
}

}  // namespace
}  // namespace ringwire::transport
