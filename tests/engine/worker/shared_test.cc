// Delivery by reference between programs of one user (docs/segment.md, S-52 to S-55): a real
// worker, programs by hand. Virtual time; one thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "engine/worker/worker.h"
#include "ipc/extent_pool.h"
#include "tests/fuzz/hand_port.h"
#include "tests/sim/program_channel.h"

namespace ringwire::worker {
namespace {

constexpr ChannelIndex kSender = 0;
constexpr ChannelIndex kReader = 1;
constexpr ChannelIndex kOther = 2;
constexpr std::uint32_t kFile = 3;        // the sender's number of its file
constexpr std::uint32_t kShared = 77;     // the engine's
constexpr std::uint64_t kOffset = 4'096;  // of the payload in it
constexpr std::uint64_t kFileBytes = 4u << 20;

struct Sent {
  std::uint64_t sequence = 1;
  std::uint64_t bytes = 1'000;
  Level level = Level::kProcessed;
  bool share = true;
  bool call = false;
  TimeNs deadline_ns = 0;
  std::uint64_t hash = 1;
  std::string key = "key";
};

struct Seen {
  std::uint64_t sequence = 0;
  std::uint8_t ending = 0;
  Reason reason{};
  bool kept = false;  ///< kLevelMemoryKept
  auto operator<=>(const Seen&) const = default;
};

constexpr auto kDone = static_cast<std::uint8_t>(Ending::kDone);
constexpr auto kUnknown = static_cast<std::uint8_t>(Ending::kUnknown);

class Shared : public testing::Test {
 protected:
  Shared() {
    auto made = ipc::MemoryFile::create("shared-test", kFileBytes);
    RW_CHECK(made.ok());
    file = std::move(made).value();
    for (std::uint64_t at = 0; at < kFileBytes; ++at)
      file.data()[at] = static_cast<std::byte>(at * 7 + at / 4'096);
  }

  void attach(ChannelIndex index, DomainIndex domain = 0) {
    programs[index] = std::make_unique<sim::ProgramChannel>(1, 1, 0);
    command(AddChannel{index, programs[index]->engine(), {index + 1, 1}, 0, domain, 1});
  }
  void attach_sender(DomainIndex domain = 0, std::uint32_t shared = kShared) {
    attach(kSender, domain);
    command(AddFile{kSender, kFile, file.data(), file.bytes(), 1, shared});
  }
  void serve(ChannelIndex index, bool share = true) {
    command(AddConsumer{index, 0, false, 0, share});
  }
  void command(Command item) {
    RW_CHECK(commands.try_push(item));
    turn();
  }
  void turn() { worker.turn(now += kMicrosecondNs); }
  void pass(DurationNs time) {
    now += time;
    turn();
    turn();
  }

  void send(const Sent& sent) {
    ipc::Submission submission{};
    submission.sequence = sent.sequence;
    submission.hash = sent.hash;
    submission.payload_bytes = sent.bytes;
    submission.payload_offset = kOffset;
    submission.extent_file = kFile;
    submission.deadline_ns = sent.deadline_ns;
    submission.target = static_cast<std::uint8_t>(ipc::TargetKind::kNode);
    submission.level = static_cast<std::uint8_t>(sent.level);
    submission.key_bytes = static_cast<std::uint16_t>(sent.key.size());
    if (sent.share) submission.flags |= ipc::kSubmitShare;
    if (sent.call) submission.flags |= ipc::kSubmitCall;
    if (sent.key.size() <= ipc::kInlineBytes) {
      std::memcpy(submission.inline_bytes, sent.key.data(), sent.key.size());
    } else {
      submission.flags |= ipc::kSubmitKeyInExtent;
      std::memcpy(file.data() + kOffset - sent.key.size(), sent.key.data(), sent.key.size());
    }
    RW_CHECK(programs[kSender]->submit(submission));
    turn();
    turn();
  }

  /// The next message of a program; one must be there.
  ipc::Delivery receive(ChannelIndex index) {
    ipc::Delivery entry{};
    std::uint32_t from = 0;
    while (programs[index]->receive(entry, from)) {
      if (entry.kind != static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes)) return entry;
    }
    ADD_FAILURE() << "no message";
    return {};
  }
  void release(ChannelIndex index, const ipc::Delivery& entry,
               ipc::Verdict verdict = ipc::Verdict::kDone) {
    RW_CHECK(programs[index]->release(0, {entry.token, static_cast<std::uint32_t>(verdict), 0}));
    turn();
  }
  /// What the sender was told since the last call.
  std::vector<Seen> told() {
    std::vector<Seen> seen;
    ipc::Delivery entry{};
    std::uint32_t from = 0;
    while (programs[kSender]->receive(entry, from)) {
      if (entry.kind != static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes)) {
        replies.push_back(entry);
        continue;
      }
      for (std::size_t at = 0; at < entry.count; ++at) {
        ipc::OutcomeRecord record{};
        std::memcpy(&record, entry.inline_bytes + at * sizeof record, sizeof record);
        seen.push_back({record.sequence, record.ending, static_cast<Reason>(record.reason),
                        (record.level & ipc::kLevelMemoryKept) != 0});
      }
    }
    return seen;
  }
  template <typename Kind>
  std::vector<Kind> notices_of() {
    std::vector<Kind> found;
    Notice notice;
    while (notices.try_pop(notice))
      if (auto* one = std::get_if<Kind>(&notice)) found.push_back(std::move(*one));
    return found;
  }
  bool sender_gone() {
    const auto gone = notices_of<ChannelGone>();
    return std::any_of(gone.begin(), gone.end(),
                       [](const ChannelGone& one) { return one.index == kSender; });
  }
  bool drop_is_refused() {
    command(DropFile{kSender, kFile, 9});
    const auto answers = notices_of<FileGone>();
    return answers.size() == 1 && answers[0].busy;
  }
  void stop(ChannelIndex index) {
    command(RemoveConsumer{index, 0});
    command(TakeBack{index});
  }
  static bool by_reference(const ipc::Delivery& entry) {
    return (entry.flags & ipc::kDeliverShared) != 0;
  }
  static WorkerConfig config() {
    WorkerConfig config;
    config.out_messages = 64;
    config.in_messages = 64;
    config.duplicate_windows = 16;
    return config;
  }

  ipc::MemoryFile file;
  TimeNs now = kSecondNs;
  CommandBox commands;
  NoticeBox notices;
  fuzz::HandPort port;
  // Before the worker, which has pointers to them.
  std::array<std::unique_ptr<sim::ProgramChannel>, 3> programs;
  Worker worker{config(), port, commands, notices, now};
  std::vector<ipc::Delivery> replies;
};

// S-52, S-53
TEST_F(Shared, a_payload_is_read_where_its_sender_has_it_when_both_ask) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({.bytes = 100'000});
  const ipc::Delivery entry = receive(kReader);
  EXPECT_TRUE(by_reference(entry));
  EXPECT_EQ(entry.extent_file, kShared);
  EXPECT_EQ(entry.payload_offset, kOffset);
  EXPECT_EQ(entry.payload_bytes, 100'000U);
  EXPECT_EQ(std::memcmp(entry.inline_bytes, "key", 3), 0);
  EXPECT_TRUE(told().empty());
  release(kReader, entry);
  EXPECT_EQ(told(), (std::vector<Seen>{{1, kDone, Reason::kNone, false}}));
  EXPECT_FALSE(drop_is_refused());
}

// S-53
TEST_F(Shared, a_long_key_stands_before_the_payload) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({.key = std::string(500, 'k')});
  const ipc::Delivery entry = receive(kReader);
  EXPECT_TRUE(by_reference(entry));
  EXPECT_EQ(entry.key_bytes, 500);
  EXPECT_EQ(entry.payload_offset, kOffset);
}

struct Copied {
  const char* why;
  bool sender_asks = true;
  bool reader_asks = true;
  bool other_user = false;
  bool writable_file = false;
  std::uint64_t bytes = 1'000;
};

class SharedNot : public Shared, public testing::WithParamInterface<Copied> {};

// S-52
TEST_P(SharedNot, a_payload_is_copied_once) {
  const Copied& row = GetParam();
  attach_sender(row.other_user ? 1 : 0, row.writable_file ? 0 : kShared);
  attach(kReader);
  serve(kReader, row.reader_asks);
  send({.bytes = row.bytes, .share = row.sender_asks});
  const ipc::Delivery entry = receive(kReader);
  EXPECT_EQ(entry.payload_bytes, row.bytes);
  EXPECT_FALSE(by_reference(entry)) << row.why;
  EXPECT_NE(entry.extent_file, kShared) << row.why;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, SharedNot,
    testing::Values(Copied{.why = "its sender did not ask", .sender_asks = false},
                    Copied{.why = "its consumer did not ask", .reader_asks = false},
                    Copied{.why = "they are of two users", .other_user = true},
                    Copied{.why = "the file was given writable", .writable_file = true},
                    Copied{.why = "it fits a queue entry", .bytes = 20}));

// S-52: one consumer that did not ask is enough.
TEST_F(Shared, not_when_another_consumer_wants_a_copy) {
  attach_sender();
  attach(kReader);
  attach(kOther);
  serve(kReader);
  serve(kOther, false);
  send({});
  send({.sequence = 2, .hash = 2, .key = "other"});
  EXPECT_FALSE(by_reference(receive(kReader)));
  EXPECT_FALSE(by_reference(receive(kOther)));
}

class SharedEarly : public Shared, public testing::WithParamInterface<Level> {};

// S-54
TEST_P(SharedEarly, an_outcome_before_the_release_says_that_memory_is_kept) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({.level = GetParam()});
  EXPECT_EQ(told(), (std::vector<Seen>{{1, kDone, Reason::kNone, true}}));
  const ipc::Delivery entry = receive(kReader);
  EXPECT_TRUE(drop_is_refused());
  EXPECT_TRUE(told().empty());
  release(kReader, entry);
  EXPECT_EQ(told(), (std::vector<Seen>{{1, ipc::kEndingMemoryFree, Reason::kNone, false}}));
  EXPECT_FALSE(drop_is_refused());
}

INSTANTIATE_TEST_SUITE_P(Levels, SharedEarly, testing::Values(Level::kNone, Level::kAccepted));

// S-54
TEST_F(Shared, a_message_whose_time_runs_out_keeps_its_memory_until_the_release) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({.deadline_ns = now + kMillisecondNs});
  const ipc::Delivery entry = receive(kReader);
  pass(2 * kMillisecondNs);
  EXPECT_EQ(told(), (std::vector<Seen>{{1, kUnknown, Reason::kTimeout, true}}));
  pass(10 * kSecondNs);
  EXPECT_TRUE(drop_is_refused());
  release(kReader, entry);
  EXPECT_EQ(told(), (std::vector<Seen>{{1, ipc::kEndingMemoryFree, Reason::kTimeout, false}}));
  EXPECT_FALSE(drop_is_refused());
}

// S-54: nobody has it, so nothing is kept.
TEST_F(Shared, a_message_that_is_cancelled_before_a_program_has_it_is_over) {
  attach_sender();
  attach(kReader);
  command(AddConsumer{kReader, 0, false, 1, true});
  send({});
  send({.sequence = 2});
  ipc::Submission cancel{};
  cancel.sequence = 2;
  cancel.flags = ipc::kSubmitCancel;
  ASSERT_TRUE(programs[kSender]->submit(cancel));
  turn();
  EXPECT_EQ(told(), (std::vector<Seen>{{2, static_cast<std::uint8_t>(Ending::kFailed),
                                        Reason::kCancelled, false}}));
}

// S-54
TEST_F(Shared, a_reply_before_the_release_says_that_memory_is_kept) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({.call = true});
  const ipc::Delivery entry = receive(kReader);
  ipc::Submission reply{};
  reply.sequence = 1;
  reply.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
  reply.flags = ipc::kSubmitReply;
  std::memcpy(reply.inline_bytes, &entry.origin, sizeof entry.origin);
  ASSERT_TRUE(programs[kReader]->submit(reply));
  turn();
  turn();
  EXPECT_TRUE(told().empty());
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].ticket, 1U);
  EXPECT_NE(replies[0].flags & ipc::kDeliverMemoryKept, 0);
  release(kReader, entry);
  const std::vector<Seen> freed = told();
  ASSERT_EQ(freed.size(), 1U);
  EXPECT_EQ(freed[0].ending, ipc::kEndingMemoryFree);
}

// S-55
TEST_F(Shared, a_stopped_reader_keeps_the_memory_though_another_was_done_with_it) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({});
  const ipc::Delivery first = receive(kReader);
  stop(kReader);
  attach(kOther);
  serve(kOther);
  turn();
  const ipc::Delivery second = receive(kOther);
  EXPECT_TRUE(by_reference(second));
  release(kOther, second);
  EXPECT_EQ(told(), (std::vector<Seen>{{1, kDone, Reason::kNone, true}}));
  EXPECT_TRUE(drop_is_refused());
  release(kReader, first);  // late: it runs again
  const std::vector<Seen> freed = told();
  ASSERT_EQ(freed.size(), 1U);
  EXPECT_EQ(freed[0].ending, ipc::kEndingMemoryFree);
  EXPECT_FALSE(drop_is_refused());
}

// S-55
TEST_F(Shared, a_stopped_reader_that_dies_gives_the_memory_back) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({.deadline_ns = now + kMillisecondNs});
  receive(kReader);
  stop(kReader);
  pass(2 * kMillisecondNs);
  ASSERT_EQ(told(), (std::vector<Seen>{{1, kUnknown, Reason::kTimeout, true}}));
  command(RemoveChannel{kReader});
  // It was queued for others, whom its sender waits for no more: none of them is left.
  pass(10 * kSecondNs);
  const std::vector<Seen> freed = told();
  ASSERT_EQ(freed.size(), 1U);
  EXPECT_EQ(freed[0].ending, ipc::kEndingMemoryFree);
}

// S-55
TEST_F(Shared, a_sender_that_is_gone_leaves_its_memory_until_the_release) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({});
  send({.sequence = 2, .level = Level::kNone});
  const ipc::Delivery first = receive(kReader);
  const ipc::Delivery second = receive(kReader);
  command(RemoveChannel{kSender});
  pass(10 * kSecondNs);
  EXPECT_FALSE(sender_gone());
  release(kReader, first);
  turn();
  EXPECT_FALSE(sender_gone());
  EXPECT_TRUE(worker.prepare_sleep()) << "a channel that waits for a reader keeps nobody awake";
  worker.wake_channel(kReader);  // as its bell has the thread do
  release(kReader, second);
  turn();
  turn();
  EXPECT_TRUE(sender_gone());
}

// S-55
TEST_F(Shared, what_nobody_has_yet_does_not_keep_a_sender_that_is_gone) {
  attach_sender();
  attach(kReader);
  command(AddConsumer{kReader, 0, false, 1, true});
  send({.level = Level::kAccepted});
  send({.sequence = 2, .bytes = 50'000, .level = Level::kAccepted});
  const ipc::Delivery first = receive(kReader);
  command(RemoveChannel{kSender});
  pass(kSecondNs);
  EXPECT_FALSE(sender_gone());
  worker.wake_channel(kReader);
  release(kReader, first);
  turn();
  EXPECT_TRUE(sender_gone());
  const ipc::Delivery second = receive(kReader);
  EXPECT_FALSE(by_reference(second)) << "copied while it waited";
  EXPECT_EQ(second.payload_bytes, 50'000U);
}

// S-55
TEST_F(Shared, a_reader_that_dies_passes_it_on) {
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({});
  receive(kReader);
  attach(kOther);
  serve(kOther);
  command(RemoveChannel{kReader});
  const ipc::Delivery again = receive(kOther);
  EXPECT_TRUE(by_reference(again));
  EXPECT_NE(again.flags & ipc::kDeliverRedelivered, 0);
  release(kOther, again);
  EXPECT_EQ(told(), (std::vector<Seen>{{1, kDone, Reason::kNone, false}}));
}

// S-52: who comes later and did not ask gets a copy, one piece a turn.
TEST_F(Shared, is_copied_for_a_consumer_that_came_later_and_did_not_ask) {
  constexpr std::uint64_t kBytes = 3u << 20;
  attach_sender();
  attach(kReader);
  serve(kReader);
  send({.bytes = kBytes});
  receive(kReader);
  attach(kOther);
  command(AddConsumer{kOther, 0, false, 0, false});
  command(RemoveChannel{kReader});
  const auto needs = notices_of<NeedLarge>();
  ASSERT_EQ(needs.size(), 1U);
  auto made = ipc::MemoryFile::create("extent", needs[0].bytes);
  ASSERT_TRUE(made.ok());
  command(AddExtentFile{0, 5, made.value().data(), made.value().bytes(), ipc::kLargeClass, 0, {}});
  int turns = 0;
  while (worker.turn(now += kMicrosecondNs) && turns < 100) ++turns;
  EXPECT_GE(turns, 2) << "3 MiB are three pieces";
  const ipc::Delivery entry = receive(kOther);
  EXPECT_FALSE(by_reference(entry));
  ASSERT_EQ(entry.extent_file, 5U);
  EXPECT_EQ(std::memcmp(made.value().data() + entry.payload_offset, file.data() + kOffset, kBytes),
            0);
  EXPECT_EQ(std::memcmp(made.value().data() + entry.payload_offset - 3, "key", 3), 0);
  EXPECT_EQ(told().size(), 0U);
  release(kOther, entry);
  EXPECT_EQ(told(), (std::vector<Seen>{{1, kDone, Reason::kNone, false}}));
}

}  // namespace
}  // namespace ringwire::worker
