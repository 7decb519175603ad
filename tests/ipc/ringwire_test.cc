#include "ipc/ringwire.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "base/bytes.h"
#include "tests/ipc/fake_engine.h"

namespace ringwire::ipc {
namespace {

constexpr std::int64_t kLongNs = 10'000'000'000;  // a deadline, never a pace

rw_send_options no_room_wait() {
  rw_send_options options{};
  options.struct_bytes = sizeof options;
  options.wait_ns = -1;
  return options;
}

std::string text_of(const rw_message* message) {
  return {static_cast<const char*>(rw_message_data(message)), rw_message_bytes(message)};
}

struct Ringwire : testing::Test {
  void start(FakeOptions options = {}) {
    options_ = options;
    engine.emplace(folder.socket(), options);
    rw_client_options how{};
    how.struct_bytes = sizeof how;
    path = folder.socket();
    how.socket = path.c_str();
    how.reconnect_ns = kLongNs;
    ASSERT_EQ(rw_client_open(&how, &client), RW_OK) << rw_last_error();
    channel = open_channel();
  }
  rw_channel* open_channel(std::uint32_t entries = 0) {
    rw_channel_options options{};
    options.struct_bytes = sizeof options;
    options.submission_entries = entries;
    rw_channel* opened = nullptr;
    EXPECT_EQ(rw_channel_open(client, &options, &opened), RW_OK) << rw_last_error();
    return opened;
  }
  void restart_engine() {
    engine.reset();
    engine.emplace(folder.socket(), options_);
  }
  ~Ringwire() override { rw_client_close(client); }

  rw_ticket send(const std::string& key, const std::string& payload,
                 const rw_send_options* options = nullptr) {
    const rw_target target = rw_target_key(key.data(), key.size());
    rw_ticket ticket = 0;
    EXPECT_EQ(rw_send(channel, &target, payload.data(), payload.size(), options, &ticket), RW_OK)
        << rw_last_error();
    return ticket;
  }
  rw_outcome wait(rw_ticket ticket) {
    rw_outcome outcome{};
    EXPECT_EQ(rw_wait(channel, ticket, kLongNs, &outcome), RW_OK) << rw_last_error();
    return outcome;
  }
  rw_message* receive(rw_channel* from) {
    rw_message* message = nullptr;
    EXPECT_EQ(rw_receive(from, kLongNs, &message), RW_OK) << rw_last_error();
    return message;
  }

  TemporaryFolder folder;
  std::string path;
  FakeOptions options_;
  std::optional<FakeEngine> engine;
  rw_client* client = nullptr;
  rw_channel* channel = nullptr;
};

// ---- attach -------------------------------------------------------------------------------------

TEST_F(Ringwire, tells_about_its_engine) {
  start();
  rw_status_t status{};
  status.struct_bytes = sizeof status;
  ASSERT_EQ(rw_status(client, &status), RW_OK);
  EXPECT_STREQ(status.node, "alpha");
  EXPECT_STREQ(status.engine_version, "9.9.9");
  EXPECT_EQ(status.attached, 1u);
  EXPECT_EQ(status.state, 2u);
  EXPECT_EQ(status.node_count, 2u);
  EXPECT_EQ(status.epoch, 5u);
  rw_node_status nodes[4];
  ASSERT_EQ(rw_status_nodes(client, nodes, 4), 2);
  EXPECT_STREQ(nodes[1].name, "beta");
}

TEST_F(Ringwire, says_where_it_looked_when_there_is_no_engine) {
  const std::string nowhere = folder.socket();
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = nowhere.c_str();
  EXPECT_EQ(rw_client_open(&how, &client), RW_ENOENGINE);
  EXPECT_NE(std::string(rw_last_error()).find(nowhere), std::string::npos);
  EXPECT_EQ(client, nullptr);
}

TEST_F(Ringwire, waits_for_an_engine_when_asked_to) {
  std::thread starter([&] { engine.emplace(folder.socket(), FakeOptions{}); });
  const std::string socket = folder.socket();
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = socket.c_str();
  how.connect_timeout_ns = kLongNs;
  EXPECT_EQ(rw_client_open(&how, &client), RW_OK);
  starter.join();
}

TEST_F(Ringwire, refuses_a_path_that_no_socket_can_have) {
  const std::string endless(200, 'x');
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = endless.c_str();
  EXPECT_EQ(rw_client_open(&how, &client), RW_EINVAL);
}

// S-31: whatever else an engine of another version says behind what is known.
TEST_F(Ringwire, names_both_versions_when_they_do_not_fit) {
  for (const std::size_t bytes : {sizeof(WelcomeAnswer), sizeof(WelcomeAnswer) + 100}) {
    FakeOptions options;
    options.attach_version = 77;
    options.welcome_bytes = bytes;
    engine.emplace(folder.socket(), options);
    const std::string socket = folder.socket();
    rw_client_options how{};
    how.struct_bytes = sizeof how;
    how.socket = socket.c_str();
    EXPECT_EQ(rw_client_open(&how, &client), RW_EVERSION);
    const std::string sentence = rw_last_error();
    EXPECT_NE(sentence.find("77"), std::string::npos) << sentence;
    EXPECT_NE(sentence.find("9.9.9"), std::string::npos) << sentence;
    EXPECT_NE(sentence.find(rw_version()), std::string::npos) << sentence;
  }
}

// S-4.
TEST_F(Ringwire, names_both_layouts_when_a_file_has_another) {
  FakeOptions options;
  options.page_version = 77;
  engine.emplace(folder.socket(), options);
  const std::string socket = folder.socket();
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = socket.c_str();
  EXPECT_EQ(rw_client_open(&how, &client), RW_EVERSION);
  const std::string sentence = rw_last_error();
  EXPECT_NE(sentence.find("layout 77"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("speaks " + std::to_string(kLayoutVersion)), std::string::npos)
      << sentence;
}

TEST_F(Ringwire, opens_only_so_many_channels) {
  FakeOptions options;
  options.max_channels = 2;
  start(options);
  ASSERT_NE(open_channel(), nullptr);
  rw_channel* third = nullptr;
  EXPECT_EQ(rw_channel_open(client, nullptr, &third), RW_ELIMIT);
}

// S-33.
TEST_F(Ringwire, reopened_channel_number_goes_on_with_its_sequence) {
  start();
  EXPECT_EQ(send("k", "a"), 1u);
  rw_channel_close(channel);
  channel = open_channel();
  EXPECT_EQ(send("k", "b"), 2u) << "an identity must never come twice";
}

TEST_F(Ringwire, refuses_bad_arguments) {
  start();
  rw_client* other = nullptr;
  rw_client_options no_size{};
  EXPECT_EQ(rw_client_open(&no_size, &other), RW_EINVAL);
  rw_channel_options odd{};
  odd.struct_bytes = sizeof odd;
  odd.submission_entries = 17;
  rw_channel* opened = nullptr;
  EXPECT_EQ(rw_channel_open(client, &odd, &opened), RW_EINVAL);
  EXPECT_EQ(rw_send(nullptr, nullptr, nullptr, 0, nullptr, nullptr), RW_EINVAL);
  const rw_target nowhere{};
  EXPECT_EQ(rw_send(channel, &nowhere, "x", 1, nullptr, nullptr), RW_EINVAL);
  const std::string long_key(1'025, 'k');
  const rw_target target = rw_target_key(long_key.data(), long_key.size());
  EXPECT_EQ(rw_send(channel, &target, "x", 1, nullptr, nullptr), RW_EINVAL);
  const rw_target unknown = rw_target_node("gamma");
  EXPECT_EQ(rw_send(channel, &unknown, "x", 1, nullptr, nullptr), RW_EINVAL);
  EXPECT_EQ(rw_wait(channel, 99, 0, nullptr), RW_ESTALE);
  EXPECT_EQ(rw_cancel(channel, 99), RW_ESTALE);
}

TEST_F(Ringwire, forked_child_is_told_to_open_its_own) {
  start();
  const pid_t child = fork();
  if (child == 0) {
    rw_message* message = nullptr;
    rw_channel* opened = nullptr;
    const bool right = rw_receive(channel, 0, &message) == RW_EFORK &&
                       rw_channel_open(client, nullptr, &opened) == RW_EFORK;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(wait(send("k", "still here")).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

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

// ---- receive ------------------------------------------------------------------------------------

struct Served : Ringwire {
  void start_served(FakeOptions options = {}) {
    start(options);
    server = open_channel();
    ASSERT_EQ(rw_serve(server, nullptr), RW_OK) << rw_last_error();
  }
  rw_channel* server = nullptr;
};

TEST_F(Served, receives_what_was_sent) {
  start_served();
  const rw_ticket ticket = send("key", "payload");
  rw_message* message = receive(server);
  EXPECT_EQ(text_of(message), "payload");
  std::size_t key_bytes = 0;
  const void* key = rw_message_key(message, &key_bytes);
  EXPECT_EQ(std::string(static_cast<const char*>(key), key_bytes), "key");
  EXPECT_EQ(rw_message_hash(message), rw_hash("key", 3));
  EXPECT_EQ(rw_message_attempt(message), 1u);
  EXPECT_EQ(rw_message_flags(message), 0u);
  EXPECT_EQ(rw_message_ticket(message), 0u);
  EXPECT_STREQ(rw_message_origin_node(message), "alpha");
  EXPECT_STREQ(rw_message_service(message), "");
  EXPECT_EQ(rw_wait(channel, ticket, 0, nullptr), RW_EAGAIN) << "not released yet";
  EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
  EXPECT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(rw_release(server, message, RW_DONE), RW_ESTALE);
}

TEST_F(Served, verdict_reaches_the_engine) {
  start_served();
  const rw_ticket ticket = send("key", "payload");
  rw_message* message = receive(server);
  EXPECT_EQ(rw_release(server, message, 7), RW_EINVAL);
  EXPECT_EQ(rw_release(server, message, RW_REFUSE), RW_OK);
  EXPECT_EQ(wait(ticket).reason, static_cast<unsigned>(RW_REASON_REFUSED));
}

// S-43.
TEST_F(Served, receives_sizes_around_every_boundary_in_place) {
  start_served();
  for (const std::size_t bytes : {0u, 1u, 127u, 128u, 129u, 65'536u, 66'560u, 66'561u, 8u << 20}) {
    const std::string payload(bytes, static_cast<char>('a' + bytes % 26));
    const rw_ticket ticket = send("", payload);
    rw_message* message = receive(server);
    EXPECT_EQ(rw_message_bytes(message), bytes);
    EXPECT_TRUE(text_of(message) == payload) << bytes;
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    wait(ticket);
  }
}

TEST_F(Served, receives_many_with_few_rings_of_the_bell) {
  start_served();
  for (int index = 0; index < 100; ++index) send(std::to_string(index), "x");
  int received = 0;
  rw_message* messages[40];
  while (received < 100) {
    const int count = rw_receive_many(server, kLongNs, messages, 40);
    ASSERT_GT(count, 0) << rw_last_error();
    ASSERT_LE(count, 40);
    for (int index = 0; index < count; ++index)
      EXPECT_EQ(rw_release(server, messages[index], RW_DONE), RW_OK);
    received += count;
  }
  EXPECT_TRUE(engine->wait_until_released(100));
  for (rw_ticket ticket = 1; ticket <= 100; ++ticket) wait(ticket);
}

// S-35.
TEST_F(Served, what_was_released_before_the_channel_is_closed_counts) {
  start_served();
  const rw_ticket ticket = send("k", "x");
  ASSERT_EQ(rw_release(server, receive(server), RW_DONE), RW_OK);
  rw_channel_close(server);
  EXPECT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

// S-44: one mapping of a file serves all messages in it, also after it was idle.
TEST_F(Served, receives_from_one_file_again_and_again) {
  FakeOptions options;
  options.shared_file = true;
  start_served(options);
  for (int round = 0; round < 20; ++round) {
    const std::string payload(1'000, static_cast<char>('a' + round));
    const rw_ticket ticket = send("k", payload);
    rw_message* message = receive(server);
    EXPECT_EQ(text_of(message), payload);
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    wait(ticket);
  }
  EXPECT_EQ(engine->maps(), 1u);
}

TEST_F(Served, nothing_to_receive_is_said_at_once_or_in_time) {
  start_served();
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(server, 0, &message), RW_EAGAIN);
  EXPECT_EQ(rw_receive(server, 1'000'000, &message), RW_ETIMEOUT);
}

TEST_F(Served, serves_a_named_service_and_stops) {
  start();
  server = open_channel();
  rw_serve_options options{};
  options.struct_bytes = sizeof options;
  options.service = "orders";
  ASSERT_EQ(rw_serve(server, &options), RW_OK);
  EXPECT_EQ(rw_serve(server, &options), RW_EBUSY);
  rw_target target = rw_target_key("k", 1);
  target.service = "orders";
  rw_ticket ticket = 0;
  ASSERT_EQ(rw_send(channel, &target, "x", 1, nullptr, &ticket), RW_OK);
  rw_message* message = receive(server);
  EXPECT_STREQ(rw_message_service(message), "orders");
  rw_release(server, message, RW_DONE);
  EXPECT_EQ(rw_unserve(server, "orders"), RW_OK);
  EXPECT_EQ(rw_unserve(server, "orders"), RW_ESTALE);
}

TEST_F(Served, messages_that_arrive_while_sending_are_kept_in_order) {
  start();
  ASSERT_EQ(rw_serve(channel, nullptr), RW_OK);
  constexpr int kCount = 3'000;  // to itself, through queues of 512
  for (int index = 0; index < kCount; ++index) send("same", std::to_string(index));
  for (int index = 0; index < kCount; ++index) {
    rw_message* message = receive(channel);
    ASSERT_EQ(text_of(message), std::to_string(index));
    ASSERT_EQ(rw_release(channel, message, RW_DONE), RW_OK);
  }
  for (rw_ticket ticket = 1; ticket <= kCount; ++ticket)
    ASSERT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

// ---- calls --------------------------------------------------------------------------------------

TEST_F(Served, answers_a_call) {
  start_served();
  std::thread answering([&] {
    rw_message* request = receive(server);
    EXPECT_EQ(rw_message_flags(request), static_cast<unsigned>(RW_FLAG_CALL));
    const std::string answer = text_of(request).append("!");
    EXPECT_EQ(rw_reply(server, request, answer.data(), answer.size(), nullptr, nullptr), RW_OK);
    EXPECT_EQ(rw_release(server, request, RW_DONE), RW_OK);
  });
  const rw_target target = rw_target_key("k", 1);
  rw_message* reply = nullptr;
  rw_outcome outcome{};
  ASSERT_EQ(rw_call(channel, &target, "question", 8, nullptr, &reply, &outcome), RW_OK)
      << rw_last_error();
  answering.join();
  EXPECT_EQ(text_of(reply), "question!");
  EXPECT_EQ(rw_message_flags(reply) & RW_FLAG_REPLY, static_cast<unsigned>(RW_FLAG_REPLY));
  EXPECT_EQ(rw_message_ticket(reply), outcome.ticket);
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(rw_release(channel, reply, RW_DONE), RW_OK);
  EXPECT_EQ(rw_outstanding(channel), 0);
  const auto seen = engine->seen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].submission.flags, kSubmitReply);
  EXPECT_EQ(seen[1].submission.level, static_cast<std::uint8_t>(Level::kAccepted));
  // The request, marked as answered, and the reply; in either order.
  ASSERT_TRUE(engine->wait_until_released(2));
  const auto releases = engine->releases();
  EXPECT_EQ(releases[0].flags + releases[1].flags, static_cast<std::uint32_t>(kReleaseReplied));
}

TEST_F(Served, a_call_that_is_only_released_has_no_reply) {
  start_served();
  std::thread releasing([&] { rw_release(server, receive(server), RW_DONE); });
  const rw_target target = rw_target_key("k", 1);
  rw_message* reply = nullptr;
  EXPECT_EQ(rw_call(channel, &target, "q", 1, nullptr, &reply, nullptr), RW_ENOREPLY);
  releasing.join();
  EXPECT_EQ(reply, nullptr);
}

TEST_F(Served, a_call_that_is_refused_fails_with_its_outcome) {
  start_served();
  std::thread refusing([&] { rw_release(server, receive(server), RW_REFUSE); });
  const rw_target target = rw_target_key("k", 1);
  rw_message* reply = nullptr;
  rw_outcome outcome{};
  EXPECT_EQ(rw_call(channel, &target, "q", 1, nullptr, &reply, &outcome), RW_EFAILED);
  refusing.join();
  EXPECT_EQ(outcome.reason, static_cast<unsigned>(RW_REASON_REFUSED));
}

TEST_F(Ringwire, reply_of_a_started_call_comes_with_its_ticket) {
  start();
  const rw_target target = rw_target_key("k", 1);
  rw_ticket ticket = 0;
  ASSERT_EQ(rw_call_start(channel, &target, "echo me", 7, nullptr, &ticket), RW_OK);
  rw_message* reply = receive(channel);
  EXPECT_EQ(rw_message_ticket(reply), ticket);
  EXPECT_EQ(text_of(reply), "echo me");
  EXPECT_EQ(rw_release(channel, reply, RW_DONE), RW_OK);
  EXPECT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
}

TEST_F(Served, sends_to_the_origin_of_a_message) {
  start_served();
  wait([&] {
    const rw_ticket ticket = send("k", "hello");
    rw_message* message = receive(server);
    const rw_origin origin = rw_message_origin(message);
    const rw_target back = rw_target_origin(&origin);
    const std::string payload(100, 'b');
    rw_ticket sent = 0;
    EXPECT_EQ(rw_send(server, &back, payload.data(), payload.size(), nullptr, &sent), RW_OK);
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    return ticket;
  }());
  rw_message* direct = receive(channel);
  EXPECT_EQ(text_of(direct), std::string(100, 'b'));
  EXPECT_EQ(rw_message_ticket(direct), 0u);
  EXPECT_EQ(rw_release(channel, direct, RW_DONE), RW_OK);
}

TEST_F(Served, calls_ten_thousand_times) {
  start_served();
  constexpr int kCalls = 10'000;
  std::thread answering([&] {
    for (int index = 0; index < kCalls; ++index) {
      rw_message* request = receive(server);
      rw_reply(server, request, rw_message_data(request), rw_message_bytes(request), nullptr,
               nullptr);
      rw_release(server, request, RW_DONE);
    }
  });
  for (int index = 0; index < kCalls; ++index) {
    const std::string key = std::to_string(index);
    const rw_target target = rw_target_key(key.data(), key.size());
    rw_message* reply = nullptr;
    ASSERT_EQ(rw_call(channel, &target, key.data(), key.size(), nullptr, &reply, nullptr), RW_OK)
        << rw_last_error();
    ASSERT_EQ(text_of(reply), key);
    rw_release(channel, reply, RW_DONE);
  }
  answering.join();
}

// ---- event loops --------------------------------------------------------------------------------

struct EventLoop : Served {
  void watch(rw_channel* on) {
    epoll = epoll_create1(0);
    epoll_event wanted{.events = EPOLLIN, .data = {}};
    ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, rw_fd(on), &wanted), 0);
  }
  bool becomes_readable(int timeout_ms) {
    epoll_event seen{};
    return epoll_wait(epoll, &seen, 1, timeout_ms) == 1;
  }
  ~EventLoop() override {
    if (epoll >= 0) close(epoll);
  }
  int epoll = -1;
};

TEST_F(EventLoop, descriptor_is_readable_when_messages_come) {
  start_served();
  watch(server);
  rw_message* message = nullptr;
  for (int round = 0; round < 50; ++round) {
    while (rw_receive(server, 0, &message) == RW_OK) rw_release(server, message, RW_DONE);
    const rw_ticket ticket = send("k", std::to_string(round));
    ASSERT_TRUE(becomes_readable(10'000)) << round;
    ASSERT_EQ(rw_receive(server, 0, &message), RW_OK);
    EXPECT_EQ(text_of(message), std::to_string(round));
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
    wait(ticket);
  }
  while (rw_receive(server, 0, &message) != RW_EAGAIN) {
  }
  EXPECT_FALSE(becomes_readable(0)) << "nothing is left";
}

TEST_F(EventLoop, descriptor_shows_what_came_before_it_was_asked_for) {
  start_served();
  const rw_ticket ticket = send("k", "early");
  ASSERT_TRUE(engine->wait_for_submissions(1));
  watch(server);
  ASSERT_TRUE(becomes_readable(10'000));
  rw_message* message = nullptr;
  ASSERT_EQ(rw_receive(server, kLongNs, &message), RW_OK);
  rw_release(server, message, RW_DONE);
  wait(ticket);
}

TEST_F(EventLoop, descriptor_shows_outcomes) {
  FakeOptions options;
  options.hold = true;
  start(options);
  watch(channel);
  send("k", "x");
  rw_outcome outcome{};
  EXPECT_EQ(rw_poll(channel, &outcome, 1), 0);
  ASSERT_TRUE(engine->wait_for_submissions(1));
  engine->release_held();
  ASSERT_TRUE(becomes_readable(10'000));
  EXPECT_EQ(rw_poll(channel, &outcome, 1), 1);
}

TEST_F(EventLoop, descriptor_works_on_after_an_engine_restart) {
  start_served();
  watch(server);
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(server, 0, &message), RW_EAGAIN);
  restart_engine();
  // The hang-up makes it readable; the program calls again until it is back.
  while (engine->hellos() == 0) {
    ASSERT_TRUE(becomes_readable(10'000));
    ASSERT_EQ(rw_receive(server, 0, &message), RW_EAGAIN) << rw_last_error();
  }
  while (rw_receive(server, 0, &message) != RW_EAGAIN) {
  }
  const rw_ticket ticket = send("k", "after");
  ASSERT_TRUE(becomes_readable(10'000));
  EXPECT_EQ(rw_receive(server, kLongNs, &message), RW_OK);
  rw_release(server, message, RW_DONE);
  wait(ticket);
}

// ---- engine restart -----------------------------------------------------------------------------

// S-32, S-46.
TEST_F(Ringwire, replays_what_has_no_outcome_in_order_with_its_bytes) {
  FakeOptions options;
  options.hold = true;
  start(options);
  std::vector<std::string> payloads;
  for (std::size_t index = 0; index < 700; ++index)  // more than the queue holds
    payloads.push_back(std::string(index * 37 % 3'000, static_cast<char>('a' + index % 26)));
  payloads.push_back(std::string(200'000, 'L'));
  for (std::size_t index = 0; index < payloads.size(); ++index)
    send(index % 3 == 0 ? std::string(300, 'k') : "k", payloads[index]);
  ASSERT_TRUE(engine->wait_for_submissions(payloads.size()));
  const Id128 before = engine->hello_id(0);
  options_.hold = false;
  restart_engine();
  for (rw_ticket ticket = 1; ticket <= payloads.size(); ++ticket)
    ASSERT_EQ(wait(ticket).ending, static_cast<unsigned>(RW_ENDING_DONE));
  EXPECT_EQ(engine->hello_id(0), before) << "the same attachment";
  const auto seen = engine->seen();
  ASSERT_EQ(seen.size(), payloads.size());
  for (std::size_t index = 0; index < seen.size(); ++index) {
    EXPECT_EQ(seen[index].submission.sequence, index + 1);
    EXPECT_NE(seen[index].submission.flags & kSubmitReplayed, 0);
    EXPECT_TRUE(seen[index].payload == payloads[index]) << index;
    EXPECT_EQ(seen[index].key.size(), index % 3 == 0 ? 300u : 1u);
  }
}

TEST_F(Ringwire, does_not_replay_what_had_ended) {
  start();
  wait(send("k", "one"));
  engine->set_hold(true);
  const rw_ticket second = send("k", "two");
  ASSERT_TRUE(engine->wait_for_submissions(2));
  restart_engine();
  wait(second);
  ASSERT_EQ(engine->seen().size(), 1u);
  EXPECT_EQ(engine->seen().at(0).payload, "two");
}

// S-48.
TEST_F(Served, serves_again_after_an_engine_restart) {
  start_served();
  restart_engine();
  std::thread serving([&] {
    rw_message* message = receive(server);
    EXPECT_EQ(text_of(message), "after");
    EXPECT_EQ(rw_release(server, message, RW_DONE), RW_OK);
  });
  // Both channels come back, each in its own thread; the message waits for the server's.
  rw_outcome outcome{};
  const rw_ticket ticket = send("k", "after");
  if (rw_wait(channel, ticket, kLongNs, &outcome) != RW_OK) ADD_FAILURE() << rw_last_error();
  // Done either by the server or, when it had not come back yet, by the engine itself.
  EXPECT_EQ(outcome.ending, static_cast<unsigned>(RW_ENDING_DONE));
  while (engine->releases().empty()) wait(send("k", "after"));
  serving.join();
}

// S-47.
TEST_F(Served, message_of_the_old_engine_stays_readable_and_its_release_is_no_error) {
  start_served();
  const std::string large(300'000, 'm');
  const rw_ticket large_ticket = send("k", large);
  rw_message* mapped = receive(server);
  const rw_ticket small_ticket = send("k", "small");
  rw_message* inside = receive(server);
  restart_engine();
  rw_message* none = nullptr;
  // This makes the server's channel find the death and come back; the replays may arrive already.
  std::vector<rw_message*> replayed;
  while (replayed.size() < 1) {
    rw_outcome outcome{};
    rw_wait(channel, large_ticket, 0, &outcome);
    if (rw_receive(server, 1'000'000, &none) == RW_OK) replayed.push_back(none);
    if (engine->seen().size() >= 2 && replayed.empty()) break;
  }
  EXPECT_TRUE(text_of(mapped) == large);
  EXPECT_EQ(text_of(inside), "small");
  EXPECT_EQ(rw_reply(server, inside, "x", 1, nullptr, nullptr), RW_ESTALE);
  EXPECT_EQ(rw_release(server, mapped, RW_DONE), RW_OK);
  EXPECT_EQ(rw_release(server, inside, RW_DONE), RW_OK);
  for (rw_message* message : replayed) rw_release(server, message, RW_DONE);
  static_cast<void>(small_ticket);
}

TEST_F(Ringwire, gives_up_when_no_engine_comes_back) {
  const std::string socket = folder.socket();
  engine.emplace(socket, FakeOptions{});
  rw_client_options how{};
  how.struct_bytes = sizeof how;
  how.socket = socket.c_str();
  how.reconnect_ns = 20'000'000;
  ASSERT_EQ(rw_client_open(&how, &client), RW_OK);
  ASSERT_EQ(rw_channel_open(client, nullptr, &channel), RW_OK);
  engine.reset();
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(channel, kLongNs, &message), RW_ENOENGINE);
  rw_status_t status{};
  status.struct_bytes = sizeof status;
  ASSERT_EQ(rw_status(client, &status), RW_OK);
  EXPECT_EQ(status.attached, 0u);
}

// S-34.
TEST_F(Ringwire, thrown_out_stays_out_with_the_reason) {
  start();
  engine->close_attachments(AttachStatus::kMalformed, "it broke a rule");
  rw_message* message = nullptr;
  EXPECT_EQ(rw_receive(channel, kLongNs, &message), RW_ECLOSED);
  EXPECT_STREQ(rw_last_error(), "it broke a rule");
}

// ---- about --------------------------------------------------------------------------------------

TEST_F(Ringwire, admin_request_collects_all_chunks) {
  start();
  char* answer = nullptr;
  int exit_code = -1;
  ASSERT_EQ(rw_admin(path.c_str(), R"({"verb":"status"})", &answer, &exit_code), RW_OK);
  EXPECT_STREQ(answer, R"({"verb":"status"})");
  EXPECT_EQ(exit_code, 1);
  rw_free(answer);
}

extern "C" int abi_names_linked(void);

TEST(RingwireText, every_name_of_the_header_is_in_the_library) {
  EXPECT_EQ(abi_names_linked(), 1 + 53);
}

TEST(RingwireText, names_every_error_and_reason) {
  for (int error = RW_ESYSTEM; error <= RW_OK; ++error) {
    EXPECT_STRNE(rw_error_name(error), "RW_E?") << error;
    EXPECT_STRNE(rw_error_text(error), "no such error") << error;
  }
  EXPECT_STREQ(rw_error_name(RW_EFORK), "RW_EFORK");
  EXPECT_STREQ(rw_error_name(-999), "RW_E?");
  EXPECT_STREQ(rw_reason_name(RW_REASON_NO_CONSUMER), "no_consumer");
  EXPECT_STREQ(rw_reason_name(999), "?");
  EXPECT_STREQ(rw_ending_name(RW_ENDING_UNKNOWN), "unknown");
}

TEST(RingwireText, default_socket_is_what_the_environment_says) {
  setenv("RINGWIRE_SOCKET", "/somewhere/e.sock", 1);
  char buffer[64];
  EXPECT_STREQ(rw_default_socket(buffer, sizeof buffer), "/somewhere/e.sock");
  unsetenv("RINGWIRE_SOCKET");
}

}  // namespace
}  // namespace ringwire::ipc
