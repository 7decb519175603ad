// What a turn owes to each that has something in it.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/engine/worker/lone_worker.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

using ipc::Submission;

Submission message_to(NodeIndex node, std::uint64_t sequence) {
  Submission submission{};
  submission.sequence = sequence;
  submission.hash = 1;
  submission.target = static_cast<std::uint8_t>(ipc::TargetKind::kNode);
  submission.node = node;
  submission.level = static_cast<std::uint8_t>(Level::kProcessed);
  submission.payload_bytes = 10;
  return submission;
}

constexpr DurationNs kBetweenTurnsNs = 100 * kMicrosecondNs;

WorkerConfig many_records() {
  WorkerConfig config = LoneWorker::small_config();
  config.out_messages = 1'024;
  return config;
}

// A large message has more packets than the device takes at once, turn after turn.
TEST(Turn, of_full_bursts_lets_all_sessions_send) {
  for (const NodeIndex large : {LoneWorker::kPeer, LoneWorker::kOther}) {
    const NodeIndex small = large == LoneWorker::kPeer ? LoneWorker::kOther : LoneWorker::kPeer;
    sim::ProgramChannel program(1, 1, 0);
    LoneWorker world(many_records());
    std::vector<std::byte> payload(16U << 20);
    world.room.resize(payload.size());
    world.command(AddChannel{0, program.engine(), {1, 1}, 0, 0, 1});
    world.command(AddFile{0, 5, payload.data(), payload.size(), 1, 0});
    world.narrow(10);
    world.turn();
    Submission submission = message_to(large, 1);
    submission.extent_file = 5;
    submission.payload_bytes = payload.size();
    ASSERT_TRUE(program.submit(submission));
    world.pass(200 * kBetweenTurnsNs, kBetweenTurnsNs);
    ASSERT_TRUE(program.submit(message_to(small, 2)));
    const auto came = [&] {
      return std::any_of(world.came.begin(), world.came.end(),
                         [&](const LoneWorker::Came& one) { return one.node == small; });
    };
    int turns = 0;
    for (; turns < 1'000 && !came(); ++turns) world.pass(kBetweenTurnsNs, kBetweenTurnsNs);
    EXPECT_LE(turns, 10) << "beside a large one to " << large;
    EXPECT_EQ(world.counters().in_flight_now, 2U) << "the large one was over before";
  }
}

// It got what waited for its room when it gave back what it had, and nothing was taken that turn.
TEST(Turn, shows_nothing_to_a_program_that_is_gone) {
  sim::ProgramChannel sender(1, 1, 0);
  sim::ProgramChannel taker(1, 1, 0);
  LoneWorker world(many_records());
  world.command(AddChannel{0, sender.engine(), {1, 1}, 0, 0, 1});
  world.command(AddChannel{1, taker.engine(), {1, 2}, 0, 0, 1});
  world.command(AddConsumer{1, 0, false, 1});
  world.turn();
  ASSERT_TRUE(sender.submit(message_to(0, 1)));
  ASSERT_TRUE(sender.submit(message_to(0, 2)));
  world.turn();
  for (int count = 0; count < 2; ++count) {
    ipc::Delivery delivery{};
    std::uint32_t from = 0;
    ASSERT_TRUE(taker.receive(delivery, from));
    ASSERT_TRUE(taker.release(from, {delivery.token, 0, 0}));
    world.turn();
  }
  world.command(RemoveChannel{1});
  world.turn();
  world.turn();
  ASSERT_EQ(world.take_notices<ChannelGone>().size(), 1U);
  ASSERT_TRUE(sender.submit(message_to(LoneWorker::kPeer, 3)));
  world.turn();
  EXPECT_EQ(world.came.size(), 1U);
}

}  // namespace
}  // namespace ringwire::worker
