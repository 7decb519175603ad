#include "ipc/outcome_book.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/ipc/dice.h"

namespace ringwire::ipc {
namespace {

EndedSend ended(std::uint64_t sequence) { return {.sequence = sequence, .reason = 1}; }

TEST(OutcomeBook, numbers_sends_from_where_it_is_told) {
  OutcomeBook book(41);
  EXPECT_EQ(book.oldest(), 41u);
  book.add(OutcomeBook::Payload::kInline).submission.sequence = 41;
  EXPECT_EQ(book.next_sequence(), 42u);
  ASSERT_NE(book.find(41), nullptr);
  EXPECT_EQ(book.find(40), nullptr);
  EXPECT_EQ(book.find(42), nullptr);
  book.remove(41);
  EXPECT_EQ(book.find(41), nullptr);
  EXPECT_EQ(book.oldest(), 42u);
}

TEST(OutcomeBook, oldest_stays_until_it_ends) {
  OutcomeBook book(1);
  for (int count = 0; count < 3; ++count) book.add(OutcomeBook::Payload::kInline);
  book.remove(2);
  EXPECT_EQ(book.oldest(), 1u);
  book.remove(1);
  EXPECT_EQ(book.oldest(), 3u);
  EXPECT_EQ(book.count(), 1u);
}

TEST(OutcomeBook, is_full_at_the_span_and_not_before) {
  OutcomeBook book(1);
  for (std::uint64_t count = 1; count < kMaxOutstandingSpan; ++count)
    book.add(OutcomeBook::Payload::kInline);
  EXPECT_FALSE(book.full());
  book.add(OutcomeBook::Payload::kInline);
  EXPECT_TRUE(book.full());
  book.remove(2);
  EXPECT_TRUE(book.full()) << "the span counts, not the number";
  book.remove(1);
  EXPECT_FALSE(book.full());
}

TEST(OutcomeBook, agrees_with_a_map_under_any_order_of_endings) {
  Dice dice(5);
  OutcomeBook book(1);
  std::map<std::uint64_t, std::uint64_t> twin;
  for (int round = 0; round < 50'000; ++round) {
    if (!book.full() && dice.chance(52)) {
      const std::uint64_t sequence = book.next_sequence();
      book.add(OutcomeBook::Payload::kInline).submission.hash = sequence * 3;
      twin[sequence] = sequence * 3;
    } else if (!twin.empty()) {
      auto at = twin.lower_bound(dice.between(twin.begin()->first, twin.rbegin()->first));
      ASSERT_EQ(book.find(at->first)->submission.hash, at->second);
      book.remove(at->first);
      twin.erase(at);
    }
    ASSERT_EQ(book.count(), twin.size());
    ASSERT_EQ(book.oldest(), twin.empty() ? book.next_sequence() : twin.begin()->first);
  }
}

TEST(OutcomeBook, gives_each_outcome_once_in_the_order_they_came) {
  OutcomeBook book(1);
  for (const std::uint64_t sequence : {3u, 1u, 2u}) book.keep(ended(sequence));
  EndedSend got;
  ASSERT_TRUE(book.take(1, got));
  EXPECT_FALSE(book.take(1, got));
  ASSERT_TRUE(book.take_oldest(got));
  EXPECT_EQ(got.sequence, 3u);
  ASSERT_TRUE(book.take_oldest(got));
  EXPECT_EQ(got.sequence, 2u);
  EXPECT_FALSE(book.take_oldest(got));
}

TEST(OutcomeBook, forgets_the_oldest_outcomes_that_nobody_asks_for) {
  OutcomeBook book(1);
  for (std::uint64_t sequence = 1; sequence <= kMaxKeptOutcomes + 10; ++sequence)
    book.keep(ended(sequence));
  EndedSend got;
  EXPECT_FALSE(book.take(10, got));
  EXPECT_TRUE(book.take(11, got));
  ASSERT_TRUE(book.take_oldest(got));
  EXPECT_EQ(got.sequence, 12u);
}

TEST(OutcomeBook, keeps_targets_until_after_their_outcome_was_shown) {
  OutcomeBook book(1);
  book.keep_target(ended(7));
  book.keep_target(ended(7));
  book.keep(ended(7));
  EndedSend got;
  book.forget_shown_targets();
  ASSERT_TRUE(book.take(7, got));
  ASSERT_NE(book.targets(7), nullptr);
  EXPECT_EQ(book.targets(7)->size(), 2u);
  book.forget_shown_targets();
  EXPECT_EQ(book.targets(7), nullptr);
}

}  // namespace
}  // namespace ringwire::ipc
