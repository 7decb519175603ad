#include "engine/worker/duplicate_windows.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace ringwire::worker {
namespace {

constexpr std::uint32_t kNode = 3;

MessageId id(std::uint64_t sequence, std::uint32_t channel = 0, std::uint64_t attachment = 1) {
  return {{attachment, 0}, channel, sequence};
}

TEST(DuplicateWindows, knows_what_it_was_told_and_nothing_else) {
  DuplicateWindows windows(4, 1);
  EXPECT_EQ(windows.look(kNode, id(5)), Seen::kNever);
  windows.mark(kNode, id(5), Seen::kQueued);
  EXPECT_EQ(windows.look(kNode, id(5)), Seen::kQueued);
  EXPECT_EQ(windows.look(kNode, id(4)), Seen::kNever);
  EXPECT_EQ(windows.look(kNode, id(6)), Seen::kNever);
  EXPECT_EQ(windows.look(kNode, id(5, 1)), Seen::kNever);
  EXPECT_EQ(windows.look(kNode, id(5, 0, 2)), Seen::kNever);
}

TEST(DuplicateWindows, says_stale_below_the_window_and_not_at_its_edge) {
  DuplicateWindows windows(4, 1);
  constexpr std::uint64_t kTop = 100'000;
  windows.mark(kNode, id(kTop), Seen::kDone);
  EXPECT_EQ(windows.look(kNode, id(kTop - DuplicateWindows::kWindow + 1)), Seen::kNever);
  EXPECT_EQ(windows.look(kNode, id(kTop - DuplicateWindows::kWindow)), Seen::kStale);
  windows.mark(kNode, id(1), Seen::kDone);
  EXPECT_EQ(windows.look(kNode, id(1)), Seen::kStale);
}

TEST(DuplicateWindows, forgets_a_cell_before_a_newer_number_uses_it) {
  DuplicateWindows windows(4, 1);
  windows.mark(kNode, id(3), Seen::kDone);
  windows.mark(kNode, id(3 + DuplicateWindows::kWindow + 10), Seen::kDone);
  EXPECT_EQ(windows.look(kNode, id(3 + DuplicateWindows::kWindow)), Seen::kNever);
  EXPECT_EQ(windows.look(kNode, id(3)), Seen::kStale);
}

TEST(DuplicateWindows, agrees_with_a_map_whatever_the_jumps) {
  Random random(1);
  for (int world = 0; world < 200; ++world) {
    DuplicateWindows windows(1, 1);
    std::map<std::uint64_t, Seen> naive;
    std::uint64_t highest = random.chance(0.5) ? kMaxSequence - 40'000 : 0;
    for (int step = 0; step < 60; ++step) {
      const std::uint64_t jump = random.chance(0.5) ? random.below(70) : random.below(20'000);
      std::uint64_t sequence = random.chance(0.7) ? highest + jump : highest - jump;
      if (sequence > kMaxSequence) sequence = kMaxSequence - random.below(3);
      highest = std::max(highest, sequence);
      const Seen seen = random.chance(0.5) ? Seen::kDone : Seen::kQueued;
      const bool stale = highest - sequence >= DuplicateWindows::kWindow;
      windows.mark(kNode, id(sequence), seen);
      if (!stale) naive[sequence] = seen;
      const std::uint64_t probe = highest - random.below(DuplicateWindows::kWindow);
      if (probe > highest) continue;  // below 0
      const auto known = naive.find(probe);
      EXPECT_EQ(windows.look(kNode, id(probe)),
                known == naive.end() ? Seen::kNever : known->second);
    }
  }
}

TEST(DuplicateWindows, ends_at_the_last_sequence_that_there_is) {
  DuplicateWindows windows(1, 1);
  windows.mark(kNode, id(kMaxSequence - 5), Seen::kDone);
  windows.mark(kNode, id(kMaxSequence), Seen::kDone);
  EXPECT_EQ(windows.look(kNode, id(kMaxSequence)), Seen::kDone);
  EXPECT_EQ(windows.look(kNode, id(kMaxSequence - 1)), Seen::kNever);
  windows.mark(kNode, id(~std::uint64_t{0}), Seen::kDone);  // nobody sends it, but it must not hang
  EXPECT_EQ(windows.look(kNode, id(~std::uint64_t{0})), Seen::kDone);
}

TEST(DuplicateWindows, reuses_the_window_that_was_silent_longest) {
  DuplicateWindows windows(2, 1);
  windows.mark(kNode, id(1, 0), Seen::kDone);
  windows.mark(kNode, id(1, 1), Seen::kDone);
  windows.mark(kNode, id(2, 0), Seen::kDone);
  windows.mark(kNode, id(1, 2), Seen::kDone);  // takes the place of channel 1
  EXPECT_EQ(windows.look(kNode, id(2, 0)), Seen::kDone);
  EXPECT_EQ(windows.look(kNode, id(1, 2)), Seen::kDone);
  EXPECT_EQ(windows.look(kNode, id(1, 1)), Seen::kNever);
}

TEST(DuplicateWindows, takes_a_window_from_the_node_that_has_most) {
  DuplicateWindows windows(4, 1);
  windows.mark(1, id(7), Seen::kDone);
  for (std::uint32_t channel = 0; channel < 100; ++channel)
    windows.mark(2, id(1, channel), Seen::kDone);
  EXPECT_EQ(windows.look(1, id(7)), Seen::kDone);
  EXPECT_EQ(windows.look(2, id(1, 99)), Seen::kDone);
  EXPECT_EQ(windows.look(2, id(1, 96)), Seen::kNever);
  windows.mark(4, id(1), Seen::kDone);  // node 2 has three, and gives one up
  EXPECT_EQ(windows.look(2, id(1, 97)), Seen::kNever);
  EXPECT_EQ(windows.look(2, id(1, 98)), Seen::kDone);
  EXPECT_EQ(windows.look(1, id(7)), Seen::kDone);
}

TEST(DuplicateWindows, among_equals_takes_it_from_who_asks) {
  DuplicateWindows windows(2, 1);
  windows.mark(1, id(1), Seen::kDone);
  windows.mark(2, id(1), Seen::kDone);
  windows.mark(2, id(1, 5), Seen::kDone);
  EXPECT_EQ(windows.look(1, id(1)), Seen::kDone);
  EXPECT_EQ(windows.look(2, id(1)), Seen::kNever);
}

TEST(DuplicateWindows, keeps_nodes_apart) {
  DuplicateWindows windows(2, 1);
  windows.mark(1, id(1), Seen::kDone);
  EXPECT_EQ(windows.look(2, id(1)), Seen::kNever);
}

TEST(DuplicateWindows, to_look_or_to_forget_costs_nobody_a_window) {
  DuplicateWindows windows(1, 1);
  windows.mark(1, id(1), Seen::kDone);
  EXPECT_EQ(windows.look(2, id(1)), Seen::kNever);
  windows.mark(2, id(1), Seen::kNever);
  EXPECT_EQ(windows.look(1, id(1)), Seen::kDone);
}

TEST(DuplicateWindows, a_message_that_was_given_up_may_be_forgotten) {
  DuplicateWindows windows(2, 1);
  windows.mark(kNode, id(9), Seen::kQueued);
  windows.mark(kNode, id(9), Seen::kNever);
  EXPECT_EQ(windows.look(kNode, id(9)), Seen::kNever);
}

}  // namespace
}  // namespace ringwire::worker
