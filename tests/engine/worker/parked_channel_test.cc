// A channel that has nothing to do is parked, and its program rings. What broke a rule rings once.
#include <gtest/gtest.h>

#include <memory>

#include "tests/engine/worker/lone_worker.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

struct ParkedChannel : testing::Test {
  ParkedChannel() {
    world.command(AddChannel{0, program.engine(), {1, 1}, 0, 0, 1});
    world.turn();
    world.turn();
  }
  sim::ProgramChannel program{1, 1, 0};
  LoneWorker world;
};

TEST_F(ParkedChannel, a_broken_queue_that_is_found_when_the_worker_falls_asleep_is_told) {
  program.jump();  // after the last look, and its bell was heard before the channel was parked
  EXPECT_FALSE(world.falls_asleep()) << "it is to be told";
  world.turn();
  EXPECT_EQ(world.take_notices<ChannelViolated>().size(), 1U);
  EXPECT_TRUE(world.falls_asleep()) << "and then it keeps nobody awake";
}

}  // namespace
}  // namespace ringwire::worker
