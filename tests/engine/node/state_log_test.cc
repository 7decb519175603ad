#include "engine/node/state_log.h"

#include <gtest/gtest.h>

namespace ringwire::node {
namespace {

using ipc::NodeState;
using Lines = std::vector<std::string>;

constexpr TimeNs kStart = 100 * kSecondNs;

TEST(StateLog, says_each_change_of_a_node_that_is_calm) {
  StateLog log;
  for (TimeNs now = kStart; now < kStart + 10 * StateLog::kCalmNs; now += 2 * StateLog::kCalmNs) {
    EXPECT_EQ(log.line_for(now, "b", NodeState::kHung), "node b is hung");
    EXPECT_EQ(log.line_for(now + StateLog::kCalmNs, "b", NodeState::kServing), "node b is serving");
  }
  EXPECT_EQ(log.calm_lines(kStart + 20 * StateLog::kCalmNs), Lines{});
}

TEST(StateLog, sums_up_what_goes_to_and_fro) {
  StateLog log;
  std::size_t said = 0;
  TimeNs now = kStart;
  for (int flap = 0; flap < 50; ++flap) {
    now += kSecondNs;
    if (!log.line_for(now, "b", NodeState::kHung).empty()) ++said;
    if (!log.line_for(now, "b", NodeState::kServing).empty()) ++said;
    EXPECT_EQ(log.calm_lines(now), Lines{});
  }
  EXPECT_EQ(said, StateLog::kChangesSaid);
  EXPECT_EQ(log.line_for(now, "c", NodeState::kHung), "node c is hung") << "each has its own";
  EXPECT_EQ(log.calm_lines(now + StateLog::kCalmNs - 1), Lines{});
  EXPECT_EQ(log.calm_lines(now + StateLog::kCalmNs),
            Lines{"node b is serving, after 94 more changes in 46 s"});
  EXPECT_EQ(log.calm_lines(now + 2 * StateLog::kCalmNs), Lines{}) << "once";
  EXPECT_EQ(log.line_for(now + 2 * StateLog::kCalmNs, "b", NodeState::kHung), "node b is hung");
}

TEST(StateLog, the_last_that_is_said_tells_that_there_are_more) {
  StateLog log;
  std::string last;
  for (std::uint32_t change = 0; change < StateLog::kChangesSaid; ++change)
    last = log.line_for(kStart, "b", change % 2 == 0 ? NodeState::kHung : NodeState::kServing);
  EXPECT_EQ(last, "node b is serving, and changes again and again: more is said when it is calm");
}

TEST(StateLog, says_always_that_a_node_is_down) {
  StateLog log;
  for (int flap = 0; flap < 50; ++flap)
    static_cast<void>(
        log.line_for(kStart, "b", flap % 2 == 0 ? NodeState::kHung : NodeState::kServing));
  EXPECT_EQ(log.line_for(kStart, "b", NodeState::kDown), "node b is down");
  EXPECT_EQ(log.calm_lines(kStart + StateLog::kCalmNs), Lines{}) << "the last word is said";
  EXPECT_EQ(log.line_for(kStart, "b", NodeState::kServing), "node b is serving");
}

}  // namespace
}  // namespace ringwire::node
