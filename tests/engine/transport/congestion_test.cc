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
    return congestion.end_round(number, 100'000);
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
TEST(Congestion, gives_way_to_heavy_loss_gently_and_not_below_two_packets) {
  Path path;
  path.round(60, 0);
  const std::uint64_t before = path.congestion.window_bytes();
  EXPECT_TRUE(path.round(0, 40));
  EXPECT_EQ(path.congestion.window_bytes(), before * 80 / 100);
  for (int round = 0; round < 200; ++round) path.round(0, 40);
  EXPECT_EQ(path.congestion.window_bytes(), 2U * 1'200);
  for (int round = 0; round < 400; ++round) path.round(40, 0);
  EXPECT_EQ(path.congestion.window_bytes(), kLimit);
}

// W-50
TEST(Congestion, gives_way_to_a_queue_in_proportion) {
  constexpr DurationNs kTarget = 100'000 + kTargetQueueNs;
  Path small;
  EXPECT_FALSE(small.round(20, 0, kTarget));
  const std::uint64_t before = small.congestion.window_bytes();
  EXPECT_TRUE(small.round(20, 0, kTarget * 2));  // half of the delay is too much
  EXPECT_EQ(small.congestion.window_bytes(), (before + 20 * 1'200) * 60 / 100);
  Path large;
  large.round(20, 0, kTarget);
  EXPECT_TRUE(large.round(0, 0, 100 * kTarget));
  EXPECT_EQ(large.congestion.window_bytes(), before / 2);
}

// W-50
TEST(Congestion, does_not_judge_what_left_before_the_last_decrease) {
  Path path;
  EXPECT_TRUE(path.round(20, 0, 10'000'000));
  EXPECT_FALSE(path.round(20, 0, 10'000'000));
  EXPECT_TRUE(path.round(20, 0, 10'000'000));
}

// W-50
TEST(Congestion, grows_by_steps_after_a_decrease_and_faster_when_calm) {
  Path path;
  for (int round = 0; round < 6; ++round) path.round(400, 0);
  path.round(0, 40);
  path.round(40, 0);
  const std::uint64_t before = path.congestion.window_bytes();
  path.round(40, 0);
  EXPECT_EQ(path.congestion.window_bytes(), before + 2 * 1'200);
  for (unsigned round = 0; round < kCalmRounds; ++round) path.round(40, 0);
  const std::uint64_t calm = path.congestion.window_bytes();
  path.round(40, 0);
  EXPECT_EQ(path.congestion.window_bytes(), calm + calm / 16);
}

// W-53
TEST(Congestion, paces_at_twice_the_window_a_round_trip) {
  Path path;
  const TimeNs now = 1'000'000'000;
  for (int packet = 0; packet < 100; ++packet) path.congestion.on_bulk_sent(now, 1'200);
  EXPECT_LE(path.congestion.pace_at(), now);  // no round trip is known yet
  path.round(0, 0, 100'000);
  const std::uint64_t window = path.congestion.window_bytes();
  std::uint64_t bytes = 0;
  TimeNs at = now;
  for (; at < now + 10'000'000; at = std::max(at, path.congestion.pace_at())) {
    path.congestion.on_bulk_sent(at, 1'200);
    bytes += 1'200;
  }
  const double rounds = 10'000'000.0 / 100'000.0;
  EXPECT_NEAR(static_cast<double>(bytes), 2.0 * static_cast<double>(window) * rounds,
              0.02 * 2.0 * static_cast<double>(window) * rounds);
}

// W-50
TEST(Congestion, forgets_what_was_measured_across_a_pause) {
  Path path;
  path.congestion.on_lost(100);
  path.congestion.on_pause();
  EXPECT_FALSE(path.round(60, 0));
}

}  // namespace
}  // namespace ringwire::transport
