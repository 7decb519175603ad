#include "engine/worker/outbox.h"

#include <gtest/gtest.h>

#include "tests/engine/worker/lone_worker.h"

namespace ringwire::worker {
namespace {

std::vector<std::uint64_t> epochs_in(NoticeBox& box) {
  std::vector<std::uint64_t> epochs;
  Notice notice;
  while (box.try_pop(notice))
    if (const auto* seen = std::get_if<ViewSeen>(&notice)) epochs.push_back(seen->epoch);
  return epochs;
}

void fill(NoticeBox& box) {
  for (Notice none; box.try_push(none);) {
  }
}

TEST(Outbox, keeps_what_must_be_said_in_order_while_the_mailbox_is_full) {
  NoticeBox box;
  Outbox outbox(box, 4);
  fill(box);
  outbox.tell(ViewSeen{1});
  outbox.tell(ViewSeen{2});
  EXPECT_FALSE(outbox.clear());
  EXPECT_TRUE(epochs_in(box).empty());
  outbox.tell(ViewSeen{3});  // there is room again, but it is not its turn
  EXPECT_TRUE(epochs_in(box).empty());
  outbox.flush();
  EXPECT_TRUE(outbox.clear());
  EXPECT_EQ(epochs_in(box), (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST(Outbox, takes_nothing_that_can_be_said_later_while_something_waits) {
  NoticeBox box;
  Outbox outbox(box, 4);
  EXPECT_TRUE(outbox.has_room());
  EXPECT_TRUE(outbox.try_tell(ViewSeen{1}));
  fill(box);
  EXPECT_FALSE(outbox.has_room());
  EXPECT_FALSE(outbox.try_tell(ViewSeen{2}));
  outbox.tell(ViewSeen{3});
  EXPECT_EQ(epochs_in(box), (std::vector<std::uint64_t>{1}));
  EXPECT_FALSE(outbox.has_room());
  EXPECT_FALSE(outbox.try_tell(ViewSeen{4}));
  outbox.flush();
  EXPECT_EQ(epochs_in(box), (std::vector<std::uint64_t>{3}));
}

// The ring manager has not read for a while, and the mailbox is full.

TEST(Outbox, no_command_is_obeyed_while_the_answer_to_another_waits) {
  LoneWorker world;
  world.fill_notices();
  for (std::uint64_t request = 1; request <= 5; ++request)
    world.command(AddFile{0, 1, nullptr, 0, request});
  world.pass(5 * kMillisecondNs);
  EXPECT_FALSE(world.commands.empty());
  EXPECT_TRUE(world.take_notices<FileReady>().empty());
  world.pass(5 * kMillisecondNs);
  const auto ready = world.take_notices<FileReady>();
  ASSERT_EQ(ready.size(), 5U);
  for (std::uint64_t at = 0; at < 5; ++at) EXPECT_EQ(ready[at].request, at + 1);
}

TEST(Outbox, a_large_message_for_which_no_memory_can_be_asked_goes_back) {
  LoneWorker world;
  world.fill_notices();
  world.send({.sequence = 1, .bytes = LoneWorker::kLargeBytes});
  world.pass(10 * kMillisecondNs);
  EXPECT_EQ(world.results,
            (std::vector<LoneWorker::Result>{{1, Ending::kFailed, Reason::kNoMemory}}));
  EXPECT_TRUE(world.take_notices<NeedLarge>().empty());
  world.send({.sequence = 1, .bytes = LoneWorker::kLargeBytes});
  world.pass(10 * kMillisecondNs);
  EXPECT_EQ(world.take_notices<NeedLarge>().size(), 1U);
}

TEST(Outbox, what_is_known_of_a_silent_peer_is_said_when_it_can_be) {
  LoneWorker world;
  world.send({.sequence = 3, .predecessor = 2});  // its answer comes after a second
  world.pass(990 * kMillisecondNs);
  world.deaf = true;
  world.fill_notices();
  world.pass(kSecondNs);
  EXPECT_TRUE(world.take_notices<PeerEvidence>().empty());
  world.pass(2 * kEvidenceNs);
  const auto late = world.take_notices<PeerEvidence>();
  EXPECT_GE(late.size(), 1U);
  EXPECT_LE(late.size(), 3U);
  for (const PeerEvidence& evidence : late) EXPECT_NE(evidence.unanswered_since_ns, kNeverNs);
  world.deaf = false;
  world.pass(5 * kSecondNs);
  EXPECT_EQ(world.take_notices<PeerEvidence>().back().unanswered_since_ns, kNeverNs);
}

}  // namespace
}  // namespace ringwire::worker
