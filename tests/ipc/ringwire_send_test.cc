// The client library: sending, outcomes, loans, files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/ipc/ringwire_fixture.h"

namespace ringwire::ipc {
namespace {

// ---- send ---------------------------------------------------------------------------------------

TEST_F(Ringwire, sends_and_learns_the_outcome) {
  start();
  const rw_ticket ticket = send("key", "hello");
  const rw_outcome outcome = wait(ticket);
  EXPECT_EQ(outcome.ticket, ticket);
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(outcome.level, static_cast<unsigned>(RW_LEVEL_PROCESSED));
  EXPECT_STREQ(outcome.node, "beta");
  EXPECT_EQ(rw_outstanding(channel), 0);
  EXPECT_EQ(rw_wait(channel, ticket, 0, nullptr), RW_ESTALE) << "an outcome is given once";
  const SeenSubmission seen = engine->seen().at(0);
  EXPECT_EQ(seen.key, "key");
  EXPECT_EQ(seen.payload, "hello");
  EXPECT_EQ(seen.submission.hash, rw_hash("key", 3));
  EXPECT_EQ(seen.submission.level, static_cast<std::uint8_t>(Level::kProcessed));
}

struct Shape {
  std::size_t key_bytes;
  std::size_t payload_bytes;
  bool inside;
  bool key_in_extent;
};

// S-40.
TEST_F(Ringwire, puts_up_to_128_bytes_into_the_queue_entry) {
  start();
  const Shape rows[] = {
      {0, 0, true, false},       {0, 128, true, false},        {0, 129, false, false},
      {28, 100, true, false},    {28, 101, false, false},      {128, 0, true, false},
      {128, 1, false, false},    {129, 0, false, true},        {129, 5, false, true},
      {1'024, 100, false, true}, {1'024, 65'536, false, true}, {5, 300'000, false, false},
  };
  std::size_t index = 0;
  for (const Shape& row : rows) {
    const std::string key(row.key_bytes, 'k');
    const std::string payload(row.payload_bytes, 'p');
    wait(send(key, payload));
    const SeenSubmission seen = engine->seen().at(index++);
    EXPECT_EQ(seen.submission.extent_file == 0, row.inside)
        << row.key_bytes << "+" << row.payload_bytes;
    EXPECT_EQ((seen.submission.flags & kSubmitKeyInExtent) != 0, row.key_in_extent);
    EXPECT_EQ(seen.key, key);
    EXPECT_EQ(seen.payload, payload);
  }
}

TEST_F(Ringwire, carries_its_options) {
  start();
  rw_send_options options{};
  options.struct_bytes = sizeof options;
  options.level = RW_LEVEL_ACCEPTED;
  options.require = RW_REQUIRE_ONE;
  options.order = RW_ORDER_NONE;
  options.priority = 9;
  options.timeout_ns = 5'000'000'000;
  options.no_wait = 1;
  rw_target target = rw_target_node("beta");
  target.service = "orders";
  target.exclude_self = 1;
  rw_ticket ticket = 0;
  const TimeNs before = monotonic_ns();
  ASSERT_EQ(rw_send(channel, &target, "x", 1, &options, &ticket), RW_OK);
  wait(ticket);
  const Submission seen = engine->seen().at(0).submission;
  EXPECT_EQ(seen.level, static_cast<std::uint8_t>(Level::kAccepted));
  EXPECT_EQ(seen.require, static_cast<std::uint8_t>(Require::kOne));
  EXPECT_EQ(seen.priority, 9);
  EXPECT_EQ(seen.flags, kSubmitOrderNone | kSubmitNoWait | kSubmitExcludeSelf);
  EXPECT_EQ(seen.target, static_cast<std::uint8_t>(TargetKind::kNode));
  EXPECT_EQ(seen.node, 1u);
  EXPECT_EQ(seen.service, 1u);
  EXPECT_GE(seen.deadline_ns, before + 5'000'000'000);
}

TEST_F(Ringwire, polls_outcomes_in_the_order_they_came) {
  start();
  for (int index = 0; index < 5; ++index) send("k", "x");
  std::vector<rw_ticket> tickets;
  rw_outcome outcomes[3];
  while (tickets.size() < 5) {
    const int count = rw_poll(channel, outcomes, 3);
    ASSERT_GE(count, 0);
    for (int index = 0; index < count; ++index) tickets.push_back(outcomes[index].ticket);
  }
  EXPECT_EQ(tickets, (std::vector<rw_ticket>{1, 2, 3, 4, 5}));
}

TEST_F(Ringwire, tells_the_targets_of_a_multi_target_send) {
  start();
  const rw_target all = rw_target_broadcast();
  rw_ticket ticket = 0;
  ASSERT_EQ(rw_send(channel, &all, "x", 1, nullptr, &ticket), RW_OK);
  EXPECT_EQ(wait(ticket).reason, static_cast<unsigned>(RW_REASON_REQUIREMENT));
  rw_outcome targets[4];
  ASSERT_EQ(rw_outcome_targets(channel, ticket, targets, 4), 2);
  EXPECT_STREQ(targets[0].node, "alpha");
  EXPECT_EQ(targets[0].ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(targets[1].reason, static_cast<unsigned>(RW_REASON_DOWN));
  wait(send("k", "next"));
  EXPECT_EQ(rw_outcome_targets(channel, ticket, targets, 4), RW_ESTALE);
}

TEST_F(Ringwire, says_again_when_the_queue_is_full_and_it_may_not_wait) {
  FakeOptions options;
  options.stalled = true;
  start(options);
  const rw_send_options at_once = no_room_wait();
  const rw_target target = rw_target_key("k", 1);
  int sent = 0;
  int result = RW_OK;
  while ((result = rw_send(channel, &target, "x", 1, &at_once, nullptr)) == RW_OK) ++sent;
  EXPECT_EQ(result, RW_EAGAIN);
  EXPECT_EQ(sent, static_cast<int>(kDefaultSubmissionEntries));
  rw_send_options shortly = at_once;
  shortly.wait_ns = 1'000'000;
  EXPECT_EQ(rw_send(channel, &target, "x", 1, &shortly, nullptr), RW_ETIMEOUT);
}

TEST_F(Ringwire, blocks_for_room_and_goes_on_when_there_is_some) {
  FakeOptions options;
  options.stalled = true;
  start(options);
  const int count = static_cast<int>(3 * kDefaultSubmissionEntries);
  std::thread resume([&] {
    // The program fills the queue first; whether it sleeps already does not matter.
    engine->set_stalled(false);
  });
  for (int index = 0; index < count; ++index) send("k", std::to_string(index));
  resume.join();
  wait(static_cast<rw_ticket>(count));
  const auto seen = engine->seen();
  ASSERT_EQ(seen.size(), static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index)
    EXPECT_EQ(seen[static_cast<std::size_t>(index)].payload, std::to_string(index));
}

// S-45.
TEST_F(Ringwire, keeps_the_span_of_outstanding_sends_bounded) {
  FakeOptions options;
  options.hold = true;
  start(options);
  const rw_target target = rw_target_key("k", 1);
  rw_send_options patient = no_room_wait();
  patient.wait_ns = 0;
  for (std::uint64_t index = 0; index < kMaxOutstandingSpan; ++index)
    ASSERT_EQ(rw_send(channel, &target, "x", 1, &patient, nullptr), RW_OK);
  const rw_send_options at_once = no_room_wait();
  EXPECT_EQ(rw_send(channel, &target, "x", 1, &at_once, nullptr), RW_EAGAIN);
  EXPECT_EQ(rw_outstanding(channel), static_cast<int>(kMaxOutstandingSpan));
  ASSERT_TRUE(engine->wait_for_submissions(kMaxOutstandingSpan));
  engine->release_held();
  EXPECT_EQ(rw_send(channel, &target, "x", 1, &patient, nullptr), RW_OK) << rw_last_error();
}

TEST_F(Ringwire, cancels_what_is_outstanding) {
  FakeOptions options;
  options.hold = true;
  start(options);
  const rw_ticket ticket = send("k", "x");
  ASSERT_EQ(rw_cancel(channel, ticket), RW_OK);
  const rw_outcome outcome = wait(ticket);
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_FAILED));
  EXPECT_EQ(outcome.reason, static_cast<unsigned>(RW_REASON_CANCELLED));
}

TEST_F(Ringwire, wait_gives_up_at_its_timeout) {
  FakeOptions options;
  options.hold = true;
  start(options);
  const rw_ticket ticket = send("k", "x");
  EXPECT_EQ(rw_wait(channel, ticket, 0, nullptr), RW_EAGAIN);
  EXPECT_EQ(rw_wait(channel, ticket, 1'000'000, nullptr), RW_ETIMEOUT);
  engine->release_held();
  EXPECT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

// ---- loans and memory ---------------------------------------------------------------------------

TEST_F(Ringwire, sends_a_loan_of_each_shape) {
  start();
  const Shape rows[] = {{3, 10, true, false},
                        {3, 5'000, false, false},
                        {500, 5'000, false, true},
                        {500, 100'000, false, true},
                        {5, 8'000'000, false, false}};
  std::size_t index = 0;
  for (const Shape& row : rows) {
    const std::string key(row.key_bytes, 'k');
    rw_loan_t loan{};
    ASSERT_EQ(rw_loan(channel, row.payload_bytes, &loan), RW_OK) << rw_last_error();
    std::memset(loan.data, 'z', loan.bytes);
    const rw_target target = rw_target_key(key.data(), key.size());
    rw_ticket ticket = 0;
    ASSERT_EQ(rw_send_loan(channel, &target, &loan, nullptr, &ticket), RW_OK) << rw_last_error();
    EXPECT_EQ(loan.data, nullptr);
    wait(ticket);
    const SeenSubmission seen = engine->seen().at(index++);
    EXPECT_EQ(seen.submission.extent_file == 0, row.inside);
    EXPECT_EQ((seen.submission.flags & kSubmitKeyInExtent) != 0, row.key_in_extent);
    EXPECT_EQ(seen.key, key);
    EXPECT_EQ(seen.payload, std::string(row.payload_bytes, 'z'));
  }
}

TEST_F(Ringwire, takes_a_cancelled_loan_back_and_refuses_it_afterwards) {
  start();
  rw_loan_t loan{};
  ASSERT_EQ(rw_loan(channel, 1'000, &loan), RW_OK);
  rw_loan_t copy = loan;
  rw_loan_cancel(channel, &loan);
  const rw_target target = rw_target_key("k", 1);
  EXPECT_EQ(rw_send_loan(channel, &target, &copy, nullptr, nullptr), RW_ESTALE);
  rw_loan_t again{};
  ASSERT_EQ(rw_loan(channel, 1'000, &again), RW_OK);
  EXPECT_EQ(again.data, copy.data) << "last in, first out";
  rw_loan_t altered = again;
  altered.bytes = 1u << 30;
  EXPECT_EQ(rw_send_loan(channel, &target, &altered, nullptr, nullptr), RW_EINVAL);
}

// S-41.
TEST_F(Ringwire, uses_large_files_again_and_returns_idle_ones) {
  start();
  const std::string payload(40u << 20, 'p');
  wait(send("k", payload));
  wait(send("k", payload));
  EXPECT_EQ(engine->adopted_bytes(), 40u << 20) << "one file for both";
  // Two at once are 80 MiB: more than may lie idle.
  engine->set_hold(true);
  const rw_ticket first = send("k", payload);
  const rw_ticket second = send("k", payload);
  EXPECT_EQ(engine->adopted_bytes(), 80u << 20);
  ASSERT_TRUE(engine->wait_for_submissions(4));
  engine->release_held();
  wait(first);
  wait(second);
  EXPECT_EQ(engine->adopted_bytes(), 40u << 20);
}

TEST_F(Ringwire, says_too_large_for_what_never_fits) {
  FakeOptions options;
  options.quota_bytes = 1u << 20;
  start(options);
  const std::string payload(2u << 20, 'p');
  const rw_target target = rw_target_key("k", 1);
  EXPECT_EQ(rw_send(channel, &target, payload.data(), payload.size(), nullptr, nullptr),
            RW_ETOOLARGE);
  rw_loan_t loan{};
  EXPECT_EQ(rw_loan(channel, payload.size(), &loan), RW_ETOOLARGE);
}

// S-42.
TEST_F(Ringwire, waits_for_memory_that_is_under_way) {
  FakeOptions options;
  options.hold = true;
  options.quota_used_limit = 10u << 20;
  start(options);
  const std::string payload(6u << 20, 'p');
  const rw_ticket first = send("k", payload);
  const rw_target target = rw_target_key("k", 1);
  const rw_send_options at_once = no_room_wait();
  EXPECT_EQ(rw_send(channel, &target, payload.data(), payload.size(), &at_once, nullptr),
            RW_EAGAIN);
  ASSERT_TRUE(engine->wait_for_submissions(1));
  engine->release_held();
  const rw_ticket second = send("k", payload);
  wait(first);
  wait(second);
}

struct SendFile : Ringwire {
  ~SendFile() override {
    if (fd >= 0) close(fd);
  }
  void make_file(const std::string& content) {
    fd = memfd_create("content", MFD_CLOEXEC);
    ASSERT_EQ(write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  }
  int fd = -1;
};

TEST_F(SendFile, reads_the_range) {
  start();
  make_file("0123456789");
  const rw_target target = rw_target_key("k", 1);
  rw_ticket ticket = 0;
  ASSERT_EQ(rw_send_file(channel, &target, fd, 2, 5, nullptr, &ticket), RW_OK) << rw_last_error();
  wait(ticket);
  EXPECT_EQ(engine->seen().at(0).payload, "23456");
}

TEST_F(SendFile, reads_a_pipe_from_where_it_stands) {
  start();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "abcdef", 6), 6);
  const rw_target target = rw_target_key("k", 1);
  rw_ticket ticket = 0;
  ASSERT_EQ(rw_send_file(channel, &target, ends[0], 0, 6, nullptr, &ticket), RW_OK);
  wait(ticket);
  EXPECT_EQ(engine->seen().at(0).payload, "abcdef");
  ASSERT_EQ(write(ends[1], "ab", 2), 2);
  close(ends[1]);
  EXPECT_EQ(rw_send_file(channel, &target, ends[0], 0, 6, nullptr, &ticket), RW_ESHORT);
  close(ends[0]);
}

TEST_F(SendFile, refuses_a_short_file_and_a_bad_descriptor) {
  start();
  make_file("0123456789");
  const rw_target target = rw_target_key("k", 1);
  EXPECT_EQ(rw_send_file(channel, &target, fd, 5, 6, nullptr, nullptr), RW_ESHORT);
  EXPECT_EQ(rw_send_file(channel, &target, 9'999, 0, 1, nullptr, nullptr), RW_EIO);
  const int directory = open("/", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(rw_send_file(channel, &target, directory, 0, 10, nullptr, nullptr), RW_EIO);
  close(directory);
}

}  // namespace
}  // namespace ringwire::ipc
