// A send to a node by its number, from a program that knew it by the engine that was here before.
#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "tests/engine/worker/lone_worker.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

struct UnknownNode : testing::Test {
  UnknownNode() {
    world.command(AddChannel{0, program.engine(), {1, 1}, 0, 0, 1});
    world.turn();
  }
  std::optional<ipc::OutcomeRecord> send_to(std::uint32_t node) {
    ipc::Submission submission{};
    submission.sequence = 1;
    submission.target = static_cast<std::uint8_t>(ipc::TargetKind::kNode);
    submission.node = node;
    submission.level = static_cast<std::uint8_t>(Level::kProcessed);
    EXPECT_TRUE(program.submit(submission));
    world.turn();
    ipc::Delivery delivery;
    std::uint32_t worker = 0;
    if (!program.receive(delivery, worker) || delivery.count != 1) return std::nullopt;
    ipc::OutcomeRecord record;
    std::memcpy(&record, delivery.inline_bytes, sizeof record);
    return record;
  }
  sim::ProgramChannel program{1, 1, 0};
  LoneWorker world;
};

TEST_F(UnknownNode, fails_the_send_and_no_more) {
  const auto record = send_to(ipc::kNoNode);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->ending, static_cast<std::uint8_t>(Ending::kFailed));
  EXPECT_EQ(record->reason, static_cast<std::uint8_t>(Reason::kNoNode));
  EXPECT_TRUE(world.take_notices<ChannelViolated>().empty());
}

TEST_F(UnknownNode, a_number_that_no_node_can_have_breaks_a_rule) {
  EXPECT_FALSE(send_to(ipc::kMaxNodes).has_value());
  EXPECT_EQ(world.take_notices<ChannelViolated>().size(), 1U);
}

}  // namespace
}  // namespace ringwire::worker
