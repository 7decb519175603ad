// Small messages for another worker that a program has submitted in a row: they go as one run as
// long as they are alike, and whatever is not goes its own way, as it was asked to.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>

#include "tests/engine/worker/lone_worker.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

using ipc::Submission;

class Streams : public testing::Test {
 protected:
  Streams() : world_(config()) {
    world_.command(AddService{1, "other"});
    world_.command(AddChannel{0, program_.engine(), {1, 1}, 0, 0, 1});
    world_.turn();
  }

  static WorkerConfig config() {
    WorkerConfig config = LoneWorker::small_config();
    config.out_messages = 1'024;
    return config;
  }
  static std::string text_of(std::uint64_t sequence) { return "text " + std::to_string(sequence); }

  /// The next of the stream, each with a key and a text of its own.
  Submission next() {
    Submission submission{};
    submission.sequence = ++sequence_;
    submission.hash = 1'000 + sequence_;
    submission.target = static_cast<std::uint8_t>(ipc::TargetKind::kNode);
    submission.node = LoneWorker::kPeer;
    submission.level = static_cast<std::uint8_t>(Level::kProcessed);
    const std::string text = text_of(sequence_);
    submission.payload_bytes = text.size();
    std::memcpy(submission.inline_bytes, text.data(), text.size());
    return submission;
  }
  void submit(const Submission& submission) { ASSERT_TRUE(program_.submit(submission)); }
  /// Two, one that is changed, and two more, all of them there when the worker looks.
  void submit_with(const std::function<void(Submission&)>& change) {
    for (int count = 1; count <= 5; ++count) {
      Submission submission = next();
      if (count == 3) change(submission);
      submit(submission);
    }
    world_.turn();
    world_.turn();
  }
  /// All five came, once each and whole.
  void expect_all() {
    ASSERT_EQ(world_.came.size(), 5U);
    for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) {
      const LoneWorker::Came& came = came_of(sequence);
      EXPECT_EQ(came.sequence, sequence);
      EXPECT_EQ(came.text, text_of(sequence));
      if (sequence == 3) continue;  // that is another
      EXPECT_EQ(came.hash, 1'000 + sequence);
      EXPECT_EQ(came.level, Level::kProcessed);
      EXPECT_EQ(came.flags, 0);
      EXPECT_EQ(came.service, "");
    }
  }
  const LoneWorker::Came& came_of(std::uint64_t sequence) {
    static const LoneWorker::Came kNothing;
    for (const LoneWorker::Came& came : world_.came)
      if (came.sequence == sequence) return came;
    return kNothing;
  }

  sim::ProgramChannel program_{1, 1, 0};
  LoneWorker world_;
  std::uint64_t sequence_ = 0;
};

TEST_F(Streams, go_as_one_run_whatever_their_keys) {
  submit_with([](Submission& submission) { submission.hash = 7; });
  expect_all();
  EXPECT_EQ(came_of(3).hash, 7U);
  EXPECT_EQ(world_.runs_received, 1U);
  EXPECT_EQ(world_.counters().taken, 5U);
  EXPECT_EQ(world_.counters().in_flight_now, 5U);
}

// The peer lets no more come before it was told of some.
TEST_F(Streams, of_more_than_a_run_holds_wait_in_another) {
  for (std::uint32_t count = 0; count < 2 * wire::kMaxRunMessages - 1; ++count) submit(next());
  world_.turn();
  world_.turn();
  EXPECT_EQ(world_.came.size(), wire::kMaxRunMessages);
  EXPECT_EQ(world_.runs_received, 1U);
  EXPECT_EQ(world_.counters().taken, 2 * wire::kMaxRunMessages - 1);
}

TEST_F(Streams, may_leave_out_sequences) {
  for (const std::uint64_t sequence : {10U, 12U, 500U}) {
    sequence_ = sequence - 1;
    submit(next());
  }
  world_.turn();
  ASSERT_EQ(world_.came.size(), 3U);
  EXPECT_EQ(world_.came[2].sequence, 500U);
  EXPECT_EQ(world_.came[2].text, text_of(500));
}

TEST_F(Streams, keep_the_level_of_each) {
  submit_with([](Submission& submission) {
    submission.level = static_cast<std::uint8_t>(Level::kAccepted);
  });
  expect_all();
  EXPECT_EQ(came_of(3).level, Level::kAccepted);
}

TEST_F(Streams, keep_the_flags_of_each) {
  submit_with([](Submission& submission) { submission.flags = ipc::kSubmitOrderNone; });
  expect_all();
  EXPECT_EQ(came_of(3).flags, wire::kOrderNone);
}

TEST_F(Streams, keep_the_service_of_each) {
  submit_with([](Submission& submission) { submission.service = 1; });
  expect_all();
  EXPECT_EQ(came_of(3).service, "other");
}

TEST_F(Streams, let_a_call_go_by_itself) {
  submit_with([](Submission& submission) { submission.flags = ipc::kSubmitCall; });
  expect_all();
  EXPECT_EQ(came_of(3).flags, wire::kCall);
  EXPECT_EQ(came_of(3).run, 0U);
}

TEST_F(Streams, go_to_the_node_of_each) {
  submit_with([](Submission& submission) { submission.node = LoneWorker::kOther; });
  expect_all();
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence)
    EXPECT_EQ(came_of(sequence).node, sequence == 3 ? LoneWorker::kOther : LoneWorker::kPeer);
}

TEST_F(Streams, keep_each_deadline) {
  submit_with([](Submission& submission) { submission.deadline_ns = kSecondNs + kMillisecondNs; });
  expect_all();
  world_.pass(10 * kMillisecondNs);
  // Its time is over, though nobody knows what became of it; the others' is not.
  ipc::Delivery entry{};
  std::uint32_t from = 0;
  ASSERT_TRUE(program_.receive(entry, from));
  ASSERT_EQ(entry.count, 1);
  ipc::OutcomeRecord record{};
  std::memcpy(&record, entry.inline_bytes, sizeof record);
  EXPECT_EQ(record.sequence, 3U);
  EXPECT_EQ(record.reason, static_cast<std::uint8_t>(Reason::kTimeout));
}

TEST_F(Streams, end_where_a_rule_is_broken) {
  using Break = std::function<void(Submission&)>;
  const std::vector<std::pair<std::string, Break>> breaks = {
      {"sequence again", [](Submission& submission) { submission.sequence = 2; }},
      {"sequence too high", [](Submission& submission) { submission.sequence = kMaxSequence + 1; }},
      {"payload", [](Submission& submission) { submission.payload_bytes = ipc::kInlineBytes + 1; }},
      {"key", [](Submission& submission) { submission.key_bytes = ipc::kInlineBytes; }},
      {"much payload", [](Submission& submission) { submission.payload_bytes = ~0ULL; }},
      {"file", [](Submission& submission) { submission.extent_file = 1; }},
      {"require", [](Submission& submission) { submission.require = 3; }},
      {"level", [](Submission& submission) { submission.level = 3; }},
      {"target", [](Submission& submission) { submission.target = 0; }},
      {"service", [](Submission& submission) { submission.service = 2; }},
  };
  for (const auto& [name, change] : breaks) {
    sim::ProgramChannel program(1, 1, 0);
    LoneWorker world(config());
    world.command(AddChannel{0, program.engine(), {1, 1}, 0, 0, 1});
    world.turn();
    sequence_ = 0;
    for (int count = 1; count <= 4; ++count) {
      Submission submission = next();
      if (count == 3) change(submission);
      ASSERT_TRUE(program.submit(submission));
    }
    world.turn();
    world.turn();
    EXPECT_EQ(world.take_notices<ChannelViolated>().size(), 1U) << name;
    EXPECT_EQ(world.came.size(), 2U) << name;
    EXPECT_EQ(world.counters().bad_submissions, 1U) << name;
  }
}

}  // namespace
}  // namespace ringwire::worker
