#include "engine/worker/inbound.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace ringwire::worker
