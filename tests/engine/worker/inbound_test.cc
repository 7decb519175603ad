#include "engine/worker/inbound.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "tests/engine/worker/lone_worker.h"

namespace ringwire::worker {
namespace {

using Results = std::vector<LoneWorker::Result>;

TEST(Inbound, sends_back_what_waits_for_an_elder_of_which_nothing_comes) {
  LoneWorker world;
  world.send({.sequence = 2, .predecessor = 1});
  world.pass(900 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 1U);
  EXPECT_TRUE(world.results.empty());
  world.pass(200 * kMillisecondNs);
  EXPECT_EQ(world.results, (Results{{2, Ending::kFailed, Reason::kQueueFull}}));
  EXPECT_EQ(world.counters().held_now, 0U);
  EXPECT_EQ(world.counters().held_too_long, 1U);
}

TEST(Inbound, waits_for_an_elder_that_has_begun_to_arrive) {
  LoneWorker world;
  world.send({.sequence = 1, .bytes = LoneWorker::kLargeBytes});
  world.send({.sequence = 2, .predecessor = 1});
  world.pass(1'900 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 1U);
  EXPECT_EQ(world.counters().held_too_long, 0U);
  EXPECT_TRUE(world.results.empty());
}

TEST(Inbound, goes_on_without_a_message_of_level_none_that_waited_too_long) {
  LoneWorker world;
  world.send({.sequence = 2, .predecessor = 1, .level = Level::kNone});
  world.send({.sequence = 3, .predecessor = 2});
  world.pass(1'100 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 1U);  // the third, for what the second waited for
  EXPECT_TRUE(world.results.empty());
  world.send({.sequence = 1});
  world.pass(10 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 0U);
  EXPECT_TRUE(world.results.empty());
}

// W-28, and so on for the three behind it.
TEST(Inbound, goes_on_without_what_was_called_back_before_it_came) {
  LoneWorker world;
  world.deliver({.sequence = 1, .bytes = 10});
  world.deliver({.sequence = 3, .predecessor = 2, .bytes = 10, .level = Level::kNone});
  EXPECT_EQ(world.counters().held_now, 1U);
  world.call_back_unseen(LoneWorker::kPeer, {.sequence = 2, .predecessor = 1, .bytes = 10});
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 0U);
  EXPECT_EQ(world.counters().received, 2U);
  // Also those that come later; but not at another level: they are sent again behind it.
  world.deliver({.sequence = 4, .predecessor = 2, .bytes = 10, .level = Level::kNone});
  EXPECT_EQ(world.counters().held_now, 0U);
  world.deliver({.sequence = 5, .predecessor = 2, .bytes = 10});
  EXPECT_EQ(world.counters().held_now, 1U);
}

// W-28
TEST(Inbound, still_waits_for_a_later_attempt_of_what_is_called_back) {
  LoneWorker world;
  world.send({.sequence = 2, .bytes = LoneWorker::kLargeBytes});  // is on its way
  world.deliver({.sequence = 3, .predecessor = 2, .bytes = 10, .level = Level::kNone});
  world.call_back_unseen(LoneWorker::kPeer, {.sequence = 2, .bytes = 10});
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 1U);
}

// W-28
TEST(Inbound, believes_a_node_of_its_own_messages_only) {
  LoneWorker world;
  world.deliver({.sequence = 3, .predecessor = 2, .bytes = 10, .level = Level::kNone});
  world.call_back_unseen(LoneWorker::kOther, {.sequence = 2, .bytes = 10});
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 1U);
  world.call_back_unseen(LoneWorker::kPeer, {.sequence = 2, .bytes = 10});
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 0U);
}

TEST(Inbound, knows_an_elder_that_is_here_without_its_window) {
  LoneWorker world(1);
  world.send({.sequence = 1});
  world.pass(kMillisecondNs);
  world.send({.sequence = 1, .attachment = 8});  // takes the only window
  world.pass(kMillisecondNs);
  world.send({.sequence = 2, .predecessor = 1});
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().received, 3U);
  EXPECT_EQ(world.counters().held_now, 0U);
}

TEST(Inbound, lets_a_long_chain_go_when_its_first_comes) {
  LoneWorker world;
  for (std::uint64_t sequence = 2; sequence <= 30; ++sequence)
    world.deliver({.sequence = sequence, .predecessor = sequence - 1, .bytes = 10});
  EXPECT_EQ(world.counters().held_now, 29U);
  world.send({.sequence = 1});
  world.pass(10 * kMillisecondNs);
  EXPECT_EQ(world.counters().held_now, 0U);
  EXPECT_EQ(world.counters().received, 30U);
  EXPECT_TRUE(world.results.empty());
}

TEST(Inbound, holds_only_so_many_behind_one) {
  LoneWorker world;
  // One service alone has not the credit for it.
  const std::array<std::string_view, 4> services = {"", "a", "b", "c"};
  for (std::uint16_t service = 1; service < services.size(); ++service)
    world.command(AddService{service, std::string(services[service])});
  for (std::uint64_t sequence = 2; sequence <= 81; ++sequence)
    world.deliver({.sequence = sequence,
                   .predecessor = 1,
                   .bytes = 10,
                   .service = services[sequence % services.size()]});
  EXPECT_EQ(world.counters().held_now, 64U);
  world.pass(kMillisecondNs);  // results of one turn go with the next
  ASSERT_EQ(world.results.size(), 16U);
  for (const LoneWorker::Result& result : world.results)
    EXPECT_EQ(result.reason, Reason::kQueueFull);
}

}  // namespace
}  // namespace ringwire::worker
