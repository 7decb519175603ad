#include "apps/cli/stream_ledger.h"

#include <gtest/gtest.h>

namespace ringwire::cli {
namespace {

constexpr auto kFirst = StreamLedger::Delivery::kFirst;
constexpr auto kRedelivered = StreamLedger::Delivery::kRedelivered;

CheckedStamp intact(std::uint64_t stream, std::uint64_t sequence) {
  return {StampVerdict::kIntact, {.stream = stream, .sequence = sequence}};
}

TEST(StreamLedger, counts_a_repeat_as_received_and_duplicated) {
  StreamLedger ledger;
  ledger.note(intact(1, 0), kFirst);
  ledger.note(intact(1, 1), kFirst);
  ledger.note(intact(1, 0), kRedelivered);
  const StreamCounts counts = ledger.counts_of(1);
  EXPECT_EQ(counts.received, 3U);
  EXPECT_EQ(counts.duplicated, 1U);
  EXPECT_EQ(counts.redelivered, 1U);
  EXPECT_EQ(counts.damaged, 0U);
}

TEST(StreamLedger, does_not_take_a_damaged_message_for_the_real_one) {
  StreamLedger ledger;
  ledger.note({StampVerdict::kDamaged, {.stream = 1, .sequence = 5}}, kFirst);
  ledger.note(intact(1, 5), kRedelivered);
  const StreamCounts counts = ledger.counts_of(1);
  EXPECT_EQ(counts.damaged, 1U);
  EXPECT_EQ(counts.received, 1U);
  EXPECT_EQ(counts.duplicated, 0U);
}

TEST(StreamLedger, keeps_streams_apart) {
  StreamLedger ledger;
  ledger.note(intact(1, 0), kFirst);
  ledger.note(intact(2, 0), kFirst);
  EXPECT_EQ(ledger.counts_of(1).duplicated, 0U);
  EXPECT_EQ(ledger.counts_of(2).received, 1U);
  EXPECT_EQ(ledger.counts_of(3).received, 0U);
}

TEST(StreamLedger, forgets_the_stream_unused_for_longest) {
  StreamLedger ledger;
  for (std::uint64_t stream = 0; stream < StreamLedger::kMaxStreams; ++stream) {
    ledger.note(intact(stream, 0), kFirst);
  }
  ledger.note(intact(0, 1), kFirst);
  ledger.note(intact(10'000, 0), kFirst);
  EXPECT_EQ(ledger.counts_of(0).received, 2U);
  EXPECT_EQ(ledger.counts_of(1).received, 0U);
  EXPECT_EQ(ledger.counts_of(10'000).received, 1U);
}

}  // namespace
}  // namespace ringwire::cli
