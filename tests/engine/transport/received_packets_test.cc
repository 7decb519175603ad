#include "engine/transport/received_packets.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/random.h"

namespace ringwire::transport {
namespace {

using Verdict = ReceivedPackets::Verdict;

// W-4: against a naive twin, a set of numbers
TEST(ReceivedPackets, judges_as_a_set_of_numbers_would) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    ReceivedPackets packets;
    std::set<std::uint64_t> twin;
    std::uint64_t newest = 0;
    for (int round = 0; round < 3'000; ++round) {
      const std::uint64_t reach = random.chance(0.01) ? 20'000 : random.chance(0.1) ? 9'000 : 40;
      const std::uint64_t number = random.chance(0.5) || newest < reach
                                       ? newest + random.between(1, reach)
                                       : newest - random.below(reach);
      Verdict expected = twin.contains(number) ? Verdict::kDuplicate : Verdict::kNew;
      if (newest >= number + 8'128) expected = Verdict::kTooOld;
      ASSERT_EQ(packets.judge(number), expected) << number << " newest " << newest;
      if (expected != Verdict::kNew) continue;
      packets.mark(number, 0);
      twin.insert(number);
      newest = std::max(newest, number);
      ASSERT_EQ(packets.largest(), newest);
    }
  }
}

/// What the twin would acknowledge.
std::vector<wire::PacketRange> ranges_of(const std::set<std::uint64_t>& twin) {
  const std::uint64_t newest = *twin.rbegin();
  const std::uint64_t bottom = newest > 8'128 ? newest - 8'128 + 1 : 1;
  std::vector<wire::PacketRange> ranges;
  for (auto at = twin.rbegin(); at != twin.rend() && *at >= bottom; ++at) {
    if (!ranges.empty() && ranges.back().low == *at + 1)
      ranges.back().low = *at;
    else
      ranges.push_back({*at, *at});
  }
  if (ranges.size() > wire::kMaxAckRanges) ranges.resize(wire::kMaxAckRanges);
  return ranges;
}

void expect_acknowledged(const ReceivedPackets& packets, const std::set<std::uint64_t>& twin) {
  wire::AckItem ack;
  packets.fill_ack(5'000'000, ack);
  EXPECT_EQ(ack.delay_us, 5'000U);
  const std::vector<wire::PacketRange> expected = ranges_of(twin);
  ASSERT_EQ(ack.count, expected.size());
  for (std::size_t index = 0; index < ack.count; ++index) {
    ASSERT_EQ(ack.ranges[index].low, expected[index].low);
    ASSERT_EQ(ack.ranges[index].high, expected[index].high);
  }
}

// W-20, W-21: against the same twin
TEST(ReceivedPackets, acknowledges_the_newest_ranges_of_the_window) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    ReceivedPackets packets;
    std::set<std::uint64_t> twin;
    const double density = random.unit();
    const std::uint64_t first = random.between(1, 10'000);
    for (std::uint64_t number = first; number < first + random.between(1, 12'000); ++number)
      if (number == first || random.chance(density)) {
        packets.mark(number, 0);
        twin.insert(number);
      }
    ASSERT_NO_FATAL_FAILURE(expect_acknowledged(packets, twin));
  }
}

// W-20, W-21: gaps open and close in front of, behind and within the newest range
TEST(ReceivedPackets, acknowledges_what_came_out_of_order) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    ReceivedPackets packets;
    std::set<std::uint64_t> twin;
    const std::uint64_t late = random.chance(0.5) ? 8 : 300;
    std::uint64_t next = random.chance(0.5) ? 1 : random.between(1, 20'000);
    for (int round = 0; round < 100; ++round) {
      std::vector<std::uint64_t> batch;
      const std::uint64_t end = next + random.between(1, late);
      for (; next < end; ++next)
        if (!random.chance(0.01)) batch.push_back(next);
      while (!batch.empty()) {
        const std::size_t at = random.below(batch.size());
        const std::uint64_t number = batch[at];
        batch[at] = batch.back();
        batch.pop_back();
        if (packets.judge(number) != Verdict::kNew) continue;
        packets.mark(number, 0);
        twin.insert(number);
        if (!random.chance(0.05)) continue;
        ASSERT_NO_FATAL_FAILURE(expect_acknowledged(packets, twin));
      }
    }
  }
}

TEST(ReceivedPackets, a_jump_to_the_highest_number_forgets_the_rest) {
  ReceivedPackets packets;
  for (std::uint64_t number = 1; number <= 10'000; ++number) packets.mark(number, 0);
  packets.mark((std::uint64_t{1} << 62) - 1, 0);
  wire::AckItem ack;
  packets.fill_ack(0, ack);
  ASSERT_EQ(ack.count, 1U);
  EXPECT_EQ(ack.ranges[0].low, ack.ranges[0].high);
  EXPECT_EQ(packets.judge(10'000), Verdict::kTooOld);
}

}  // namespace
}  // namespace ringwire::transport
