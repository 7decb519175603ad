// [limits] queue_full = "drop_oldest": a newer message of level none takes an older one's place.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/engine/worker/lone_worker.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

using Sequences = std::vector<std::uint64_t>;

class QueueFull : public testing::Test {
 protected:
  static WorkerConfig config(std::uint64_t queue_bytes, bool drops) {
    WorkerConfig config = LoneWorker::small_config();
    config.queue_bytes = queue_bytes;
    config.drop_oldest = drops;
    return config;
  }
  /// A program comes and takes all that waits.
  Sequences come_and_receive(LoneWorker& world) {
    reader = std::make_unique<sim::ProgramChannel>(1, 1, 0);
    world.command(AddChannel{0, reader->engine(), {1, 1}, 0, 0, 1});
    world.command(AddConsumer{0, 0, false, 0});
    world.pass(5 * kMillisecondNs);
    Sequences received;
    ipc::Delivery entry{};
    std::uint32_t from = 0;
    while (reader->receive(entry, from)) received.push_back(entry.origin.sequence);
    return received;
  }
  static void deliver(LoneWorker& world, std::uint64_t first, std::uint64_t last, Level level) {
    for (std::uint64_t sequence = first; sequence <= last; ++sequence)
      world.deliver({.sequence = sequence, .bytes = 1'000, .level = level});
  }

  std::unique_ptr<sim::ProgramChannel> reader;  // outlives no world that knows it
};

TEST_F(QueueFull, the_oldest_of_level_none_give_way) {
  LoneWorker world(config(3'000, true));
  deliver(world, 1, 8, Level::kNone);
  EXPECT_EQ(world.counters().dropped_oldest, 5U);
  EXPECT_EQ(come_and_receive(world), (Sequences{6, 7, 8}));
}

TEST_F(QueueFull, without_it_the_newest_are_turned_away) {
  LoneWorker world(config(3'000, false));
  deliver(world, 1, 8, Level::kNone);
  EXPECT_EQ(world.counters().dropped_oldest, 0U);
  EXPECT_EQ(come_and_receive(world), (Sequences{1, 2, 3}));
}

TEST_F(QueueFull, other_levels_neither_drop_nor_are_dropped) {
  LoneWorker world(config(3'000, true));
  deliver(world, 1, 2, Level::kProcessed);
  deliver(world, 3, 5, Level::kNone);
  deliver(world, 6, 6, Level::kProcessed);  // turned away: it may not drop
  EXPECT_EQ(world.counters().dropped_oldest, 2U);
  world.pass(kMillisecondNs);
  EXPECT_EQ(world.results,
            (std::vector<LoneWorker::Result>{{6, Ending::kFailed, Reason::kNoConsumer}}));
  EXPECT_EQ(come_and_receive(world), (Sequences{1, 2, 5}));
}

TEST_F(QueueFull, one_that_never_fits_drops_nothing) {
  LoneWorker world(config(3'000, true));
  deliver(world, 1, 3, Level::kNone);
  world.deliver({.sequence = 4, .bytes = 4'000, .level = Level::kNone});
  EXPECT_EQ(world.counters().dropped_oldest, 0U);
  EXPECT_EQ(come_and_receive(world), (Sequences{1, 2, 3}));
}

// Of 256 records an eighth is for replies and a 64th for others' first messages; one service has at
// most as many of the rest as it leaves: 110.
TEST_F(QueueFull, it_is_full_when_the_records_are_out_too) {
  LoneWorker world(config(1u << 20, true));
  for (std::uint64_t sequence = 1; sequence <= 140; ++sequence)
    world.deliver({.sequence = sequence, .bytes = 10, .level = Level::kNone});
  EXPECT_EQ(world.counters().dropped_oldest, 140U - 110U);
  const Sequences received = come_and_receive(world);
  ASSERT_FALSE(received.empty());
  EXPECT_EQ(received.front(), 31U);
}

}  // namespace
}  // namespace ringwire::worker
