// Answers to a node that is gone: they wait for it, as its programs may come back with it and ask
// again, but they end.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>

#include "tests/engine/worker/lone_worker.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

class LostAnswers : public testing::Test {
 protected:
  LostAnswers() : world_(config()) {
    world_.command(AddChannel{0, server_.engine(), {1, 1}, 0, 0, 1});
    world_.command(AddConsumer{0, 0, false, 0});
    world_.turn();
  }

  static WorkerConfig config() {
    WorkerConfig config = LoneWorker::small_config();
    config.program_grace_ns = kGraceNs;
    return config;
  }

  /// The peer calls, and the program has it.
  void call() {
    world_.send({.sequence = ++calls_, .call = true});
    world_.pass(5 * kMillisecondNs);
    std::uint32_t from = 0;
    ASSERT_TRUE(server_.receive(delivery_, from));
  }
  void answer() {
    ipc::Submission reply{};
    reply.sequence = ++answers_;
    reply.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
    reply.flags = ipc::kSubmitReply;
    reply.level = static_cast<std::uint8_t>(Level::kAccepted);
    std::memcpy(reply.inline_bytes, &delivery_.origin, sizeof delivery_.origin);
    ASSERT_TRUE(server_.submit(reply));
    ASSERT_TRUE(server_.release(
        0,
        {delivery_.token, static_cast<std::uint32_t>(ipc::Verdict::kDone), ipc::kReleaseReplied}));
    world_.pass(5 * kMillisecondNs);
  }
  /// With its sessions, or (as when only those broke before) without.
  void peer_dies() {
    world_.command(CloseSessions{LoneWorker::kPeer});
    world_.command(SetPeerState{LoneWorker::kPeer, PeerState::kDown});
    world_.pass(kMillisecondNs);
  }
  /// Of the one answer that was given; none: it has no outcome yet.
  std::optional<std::pair<Ending, Reason>> outcome() {
    ipc::Delivery entry{};
    std::uint32_t from = 0;
    if (!server_.receive(entry, from)) return {};
    EXPECT_EQ(entry.kind, static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes));
    EXPECT_EQ(entry.count, 1);
    ipc::OutcomeRecord record{};
    std::memcpy(&record, entry.inline_bytes, sizeof record);
    return std::pair(static_cast<Ending>(record.ending), static_cast<Reason>(record.reason));
  }

  static constexpr DurationNs kGraceNs = 20 * kMillisecondNs;
  static constexpr std::pair kFailed{Ending::kFailed, Reason::kDown};
  static constexpr std::pair kUnknown{Ending::kUnknown, Reason::kDown};

  sim::ProgramChannel server_{1, 1, 0};
  LoneWorker world_;
  ipc::Delivery delivery_{};
  std::uint64_t calls_ = 0;
  std::uint64_t answers_ = 0;
};

TEST_F(LostAnswers, end_when_their_node_is_down_for_too_long) {
  call();
  peer_dies();
  answer();
  world_.pass(10 * kGraceNs);
  EXPECT_FALSE(outcome()) << "it may still come back";
  world_.pass(10 * kGraceNs);
  EXPECT_EQ(outcome(), kFailed);
  EXPECT_EQ(world_.counters().in_flight_now, 0U);
}

TEST_F(LostAnswers, that_were_under_way_may_have_been_handed_out) {
  call();
  world_.deaf = true;
  answer();
  peer_dies();
  world_.pass(20 * kGraceNs);
  EXPECT_EQ(outcome(), kUnknown);
}

// A session may break before its node is known to be down: they stand in the list of its link.
TEST_F(LostAnswers, that_wait_for_a_session_end_too) {
  call();
  world_.command(CloseSessions{LoneWorker::kPeer});
  world_.turn();
  answer();
  world_.command(SetPeerState{LoneWorker::kPeer, PeerState::kDown});
  world_.pass(20 * kGraceNs);
  EXPECT_EQ(outcome(), kFailed);
}

TEST_F(LostAnswers, to_a_node_that_is_given_up_end_at_once) {
  call();
  peer_dies();
  world_.pass(20 * kGraceNs);
  answer();
  EXPECT_EQ(outcome(), kFailed);
}

TEST_F(LostAnswers, go_to_a_node_that_comes_back_in_time) {
  call();
  world_.command(SetPeerState{LoneWorker::kPeer, PeerState::kDown});
  world_.turn();
  answer();
  world_.pass(10 * kGraceNs);
  world_.command(SetPeerState{LoneWorker::kPeer, PeerState::kUp});
  world_.pass(20 * kGraceNs);
  EXPECT_FALSE(outcome()) << "it is with the peer, which says nothing of it";
  EXPECT_EQ(world_.messages_received, 1U);
  world_.command(SetPeerState{LoneWorker::kPeer, PeerState::kDown});
  world_.command(CloseSessions{LoneWorker::kPeer});
  world_.pass(10 * kGraceNs);
  EXPECT_FALSE(outcome()) << "its time begins anew";
}

TEST_F(LostAnswers, hold_up_no_drain) {
  call();
  peer_dies();
  answer();
  world_.command(Drain{});
  world_.pass(2 * kGraceNs);
  EXPECT_EQ(outcome(), kFailed);
  world_.pass(2 * kGraceNs);
  EXPECT_EQ(world_.take_notices<Drained>().size(), 1U);
}

TEST_F(LostAnswers, hold_up_no_drain_that_begins_late) {
  call();
  peer_dies();
  answer();
  world_.pass(5 * kGraceNs);
  EXPECT_FALSE(outcome());
  world_.command(Drain{});
  world_.pass(5 * kMillisecondNs);
  EXPECT_EQ(outcome(), kFailed);
}

// The token of a message that is no call does not seal its sequence: it answers no call at all.
TEST_F(LostAnswers, to_what_was_no_call_fail_whatever_they_name) {
  world_.send({.sequence = 1});
  world_.pass(5 * kMillisecondNs);
  std::uint32_t from = 0;
  ASSERT_TRUE(server_.receive(delivery_, from));
  delivery_.origin.sequence = 2;
  answer();
  EXPECT_EQ(outcome(), std::pair(Ending::kFailed, Reason::kOriginGone));
  // Made a call of, it is no token of ours.
  delivery_.origin.flags = 1;
  ipc::Submission reply{};
  reply.sequence = ++answers_;
  reply.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
  reply.flags = ipc::kSubmitReply;
  std::memcpy(reply.inline_bytes, &delivery_.origin, sizeof delivery_.origin);
  ASSERT_TRUE(server_.submit(reply));
  world_.pass(5 * kMillisecondNs);
  EXPECT_EQ(outcome(), std::pair(Ending::kFailed, Reason::kOriginGone));
}

}  // namespace
}  // namespace ringwire::worker
