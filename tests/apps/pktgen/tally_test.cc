#include "apps/pktgen/tally.h"

#include <gtest/gtest.h>

#include <array>

namespace ringwire::pktgen {
namespace {

class TallyTest : public testing::Test {
 protected:
  void arrive(std::uint16_t flow, std::uint64_t sequence, TimeNs sent = 1'000) {
    std::array<std::byte, kStampBytes> packet;
    write_stamp(packet.data(), {flow, sequence, sent});
    tally.on_packet(sent + 250, packet);
  }
  Tally tally;
};

TEST(PacketStamp, reads_what_was_written) {
  std::array<std::byte, kStampBytes> packet;
  const PacketStamp written{1'023, 0xffff'ffff'fffe, 0x0123'4567'89ab'cdef};
  write_stamp(packet.data(), written);
  const auto read = read_stamp(packet);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->flow, written.flow);
  EXPECT_EQ(read->sequence, written.sequence);
  EXPECT_EQ(read->sent_ns, written.sent_ns);
}

TEST(PacketStamp, is_not_found_in_what_is_short_or_somebody_elses) {
  std::array<std::byte, kStampBytes> packet;
  write_stamp(packet.data(), {});
  EXPECT_FALSE(read_stamp(std::span(packet).first(kStampBytes - 1)));
  packet[0] ^= std::byte{1};
  EXPECT_FALSE(read_stamp(packet));
}

TEST_F(TallyTest, misses_nothing_when_all_arrive_in_order) {
  for (std::uint64_t sequence = 5; sequence < 15; ++sequence) arrive(0, sequence);
  EXPECT_EQ(tally.packets(), 10U);
  EXPECT_EQ(tally.bytes(), 10 * kStampBytes);
  EXPECT_EQ(tally.missing(), 0U);
  EXPECT_EQ(tally.reordered(), 0U);
  EXPECT_EQ(tally.latency().max_value(), 250);
}

TEST_F(TallyTest, misses_what_lies_between_of_each_flow) {
  arrive(0, 0);
  arrive(0, 3);
  arrive(1, 0);
  arrive(1, 2);
  EXPECT_EQ(tally.missing(), 3U);
}

TEST_F(TallyTest, a_late_packet_is_reordered_and_not_missing) {
  arrive(0, 1);
  arrive(0, 0);
  arrive(0, 2);
  EXPECT_EQ(tally.reordered(), 1U);
  EXPECT_EQ(tally.missing(), 0U);
}

TEST_F(TallyTest, a_packet_that_comes_twice_hides_no_more_than_one_loss) {
  arrive(0, 0);
  arrive(0, 0);
  EXPECT_EQ(tally.missing(), 0U);
  arrive(0, 3);
  EXPECT_EQ(tally.missing(), 1U);
}

TEST_F(TallyTest, foreign_packets_are_counted_apart) {
  const std::array<std::byte, 40> other{};
  tally.on_packet(0, other);
  arrive(kMaxFlows, 0);
  EXPECT_EQ(tally.foreign(), 2U);
  EXPECT_EQ(tally.packets(), 0U);
}

TEST_F(TallyTest, what_was_sent_before_the_start_does_not_count) {
  tally.reset(2'000);
  arrive(0, 0, 1'999);
  arrive(0, 1, 2'000);
  EXPECT_EQ(tally.packets(), 1U);
  EXPECT_EQ(tally.missing(), 0U);
}

}  // namespace
}  // namespace ringwire::pktgen
