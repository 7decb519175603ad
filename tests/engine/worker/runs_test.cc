// Runs at the worker that receives them (docs/wire.md W-70 to W-77).
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/worker/lone_worker.h"

namespace ringwire::worker {
namespace {

using Results = std::vector<LoneWorker::Result>;

// The first is turned away for want of the service; those behind it may not pass it (W-74).
TEST(Runs, for_a_service_that_nobody_named_come_back) {
  LoneWorker world;
  world.send_run(1, 3, "nobody");
  world.pass(20 * kMillisecondNs);
  EXPECT_EQ(world.results, (Results{{1, Ending::kFailed, Reason::kNoConsumer},
                                    {2, Ending::kFailed, Reason::kNone},
                                    {3, Ending::kFailed, Reason::kNone}}));
  EXPECT_EQ(world.counters().received, 0U);
  // What comes behind them in runs of this generation comes back likewise.
  world.results.clear();
  world.send_run(4, 1, "");
  world.pass(20 * kMillisecondNs);
  EXPECT_EQ(world.results, (Results{{4, Ending::kFailed, Reason::kNone}}));
}

// W-73
TEST(Runs, wait_for_what_they_name) {
  LoneWorker world;
  const auto first = world.send_run(1, 2, "");
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().received, 2U);
  // A number that its session has not used yet.
  const auto next =
      static_cast<transport::MessageNumber>(static_cast<std::uint32_t>(first) + 4'096);
  world.send_run(5, 2, "", next);
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().received, 2U);
  world.send_run(7, 2, "", first);
  world.pass(5 * kMillisecondNs);
  EXPECT_EQ(world.counters().received, 4U);
}

}  // namespace
}  // namespace ringwire::worker
