#include "ipc/engine_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "ipc/doorbell.h"
#include "ipc/memory_file.h"
#include "ipc/spsc_queue.h"

namespace ringwire::ipc {
namespace {

constexpr std::uint32_t kEntries = 16;
constexpr std::uint32_t kWorkers = 2;

bool readable(int descriptor) {
  pollfd wait{.fd = descriptor, .events = POLLIN, .revents = 0};
  return poll(&wait, 1, 0) == 1;
}

ChannelOpenRequest request() {
  return {.channel = 0,
          .submission_entries = kEntries,
          .release_entries = kEntries,
          .delivery_entries = kEntries,
          .up_file_bytes = up_file_bytes(kEntries, kEntries, kWorkers),
          .next_sequence = 1};
}

UpHeader up_header() {
  return {.magic = kUpMagic,
          .layout_version = kLayoutVersion,
          .worker_count = kWorkers,
          .file_bytes = up_file_bytes(kEntries, kEntries, kWorkers),
          .submission_entries = kEntries,
          .release_entries = kEntries};
}

// A program's end made by hand, so that it can also misbehave.
struct EngineChannelTest : testing::Test {
  EngineChannelTest() {
    auto made = MemoryFile::create("up", up_file_bytes(kEntries, kEntries, kWorkers));
    EXPECT_TRUE(made.ok());
    up = std::move(made).value();
    const UpHeader header = up_header();
    std::memcpy(up.data(), &header, sizeof header);
    auto opened = EngineChannel::open(dup(up.descriptor()), request(), kWorkers, 1);
    EXPECT_TRUE(opened.ok());
    engine = std::move(opened).value();
    auto mapped = MemoryFile::adopt(dup(engine->down_descriptor_read_only()),
                                    EngineChannel::down_file_bytes(kEntries, kWorkers));
    EXPECT_TRUE(mapped.ok());
    down = std::move(mapped).value();
    submissions.attach(reinterpret_cast<Submission*>(up.data() + kHeaderBytes), kEntries,
                       up_word(kUpSubmissionTailOffset), down_word(kDownSubmissionHeadOffset));
    waiting.attach(reinterpret_cast<std::uint32_t*>(up.data() + kUpWaitingOffset));
    for (std::uint32_t worker = 0; worker < kWorkers; ++worker) {
      deliveries[worker].attach(
          reinterpret_cast<Delivery*>(down.data() + down_delivery_offset(kEntries, worker)),
          kEntries, down_word(kDownDeliveryTailOffset + worker * kLineBytes),
          up_word(kUpDeliveryHeadOffset + worker * kLineBytes));
      releases[worker].attach(
          reinterpret_cast<Release*>(up.data() + up_release_offset(kEntries, kEntries, worker)),
          kEntries, up_word(kUpReleaseTailOffset + worker * kLineBytes),
          down_word(kDownReleaseHeadOffset + worker * kLineBytes));
    }
  }
  std::uint64_t* up_word(std::size_t offset) {
    return reinterpret_cast<std::uint64_t*>(up.data() + offset);
  }
  std::uint64_t* down_word(std::size_t offset) {
    return reinterpret_cast<std::uint64_t*>(down.data() + offset);
  }
  std::uint32_t parked_word(std::uint32_t worker) {
    std::uint32_t word = 0;
    std::memcpy(&word, down.data() + kDownParkedOffset + worker * kLineBytes, sizeof word);
    return word;
  }
  void submit(std::uint64_t sequence) {
    Submission* entry = submissions.claim();
    ASSERT_NE(entry, nullptr);
    *entry = {};
    entry->sequence = sequence;
    submissions.publish();
  }

  MemoryFile up;
  MemoryFile down;
  std::unique_ptr<EngineChannel> engine;
  SpscProducer<Submission> submissions;
  SpscConsumer<Delivery> deliveries[kWorkers];
  SpscProducer<Release> releases[kWorkers];
  Sleeper waiting;
};

TEST_F(EngineChannelTest, takes_submissions_in_order) {
  EXPECT_FALSE(engine->submission_waits());
  submit(1);
  submit(2);
  EXPECT_TRUE(engine->submission_waits());
  Submission submission{};
  ASSERT_TRUE(engine->poll_submission(submission));
  EXPECT_EQ(submission.sequence, 1u);
  ASSERT_TRUE(engine->poll_submission(submission));
  EXPECT_EQ(submission.sequence, 2u);
  EXPECT_FALSE(engine->poll_submission(submission));
}

TEST_F(EngineChannelTest, gives_submission_slots_back_when_told) {
  for (std::uint64_t sequence = 1; sequence <= kEntries; ++sequence) submit(sequence);
  EXPECT_EQ(submissions.room(), 0u);
  Submission submission{};
  ASSERT_TRUE(engine->poll_submission(submission));
  EXPECT_EQ(submissions.room(), 0u);
  engine->publish_submissions();
  EXPECT_EQ(submissions.room(), 1u);
}

TEST_F(EngineChannelTest, delivers_entries_per_worker) {
  for (std::uint32_t worker = 0; worker < kWorkers; ++worker) {
    EXPECT_EQ(engine->delivery_room(worker), kEntries);
    Delivery* entry = engine->claim_delivery(worker);
    ASSERT_NE(entry, nullptr);
    entry->token = 100 + worker;
    EXPECT_TRUE(engine->publish_deliveries(worker));
    EXPECT_FALSE(engine->publish_deliveries(worker));
    Delivery got{};
    ASSERT_TRUE(deliveries[worker].poll(got));
    EXPECT_EQ(got.token, 100 + worker);
    EXPECT_EQ(got.hash, 0u);
  }
}

TEST_F(EngineChannelTest, full_delivery_queue_yields_no_entry) {
  for (std::uint32_t entry = 0; entry < kEntries; ++entry)
    ASSERT_NE(engine->claim_delivery(0), nullptr);
  EXPECT_EQ(engine->claim_delivery(0), nullptr);
  EXPECT_NE(engine->claim_delivery(1), nullptr);
  EXPECT_FALSE(engine->violated());
}

TEST_F(EngineChannelTest, takes_releases_of_each_worker) {
  *releases[1].claim() = {.token = 9, .verdict = 1, .flags = 0};
  releases[1].publish();
  Release release{};
  EXPECT_FALSE(engine->poll_release(0, release));
  ASSERT_TRUE(engine->poll_release(1, release));
  EXPECT_EQ(release.token, 9u);
  engine->publish_releases(1);
  EXPECT_EQ(*down_word(kDownReleaseHeadOffset + kLineBytes), 1u);
}

TEST_F(EngineChannelTest, wakes_a_sleeping_program_once) {
  engine->wake_if_waiting();
  EXPECT_FALSE(readable(engine->program_event()));
  waiting.arm(kAsleep);
  engine->wake_if_waiting();
  engine->wake_if_waiting();
  char bytes[8];
  EXPECT_EQ(read(engine->program_event(), bytes, sizeof bytes), 1);
}

// S-22.
TEST_F(EngineChannelTest, wakes_a_program_that_waits_for_room) {
  submit(1);
  Submission submission{};
  ASSERT_TRUE(engine->poll_submission(submission));
  waiting.arm(kAsleep);
  engine->publish_submissions();
  EXPECT_FALSE(readable(engine->program_event())) << "sleeps for deliveries only";
  submit(2);
  ASSERT_TRUE(engine->poll_submission(submission));
  waiting.arm(kAsleepForRoom);
  engine->publish_submissions();
  EXPECT_TRUE(readable(engine->program_event()));
}

// S-23.
TEST_F(EngineChannelTest, parks_only_when_nothing_waits) {
  EXPECT_TRUE(engine->park(1));
  EXPECT_NE(parked_word(1), 0u);
  engine->unpark(1);
  EXPECT_EQ(parked_word(1), 0u);
  submit(1);
  EXPECT_FALSE(engine->park(1)) << "the home worker has a submission";
  EXPECT_TRUE(engine->park(0)) << "the other worker has none";
  *releases[0].claim() = {.token = 1, .verdict = 0, .flags = 0};
  releases[0].publish();
  EXPECT_FALSE(engine->park(0));
}

// S-23: a worker that found a delivery queue full is rung when the program has made room.
TEST_F(EngineChannelTest, does_not_park_when_room_came_in_a_full_delivery_queue) {
  while (engine->claim_delivery(0) != nullptr) {
  }
  engine->publish_deliveries(0);
  EXPECT_TRUE(engine->park(0)) << "still full";
  Delivery got{};
  ASSERT_TRUE(deliveries[0].poll(got));
  EXPECT_TRUE(deliveries[0].publish_noting_full()) << "the program rings for this";
  EXPECT_FALSE(engine->park(0)) << "room came";
  EXPECT_TRUE(engine->park(0)) << "asked once";
  ASSERT_TRUE(deliveries[0].poll(got));
  EXPECT_FALSE(deliveries[0].publish_noting_full()) << "it was not full any more";
}

// S-13: what the program changes after the copy changes nothing.
TEST_F(EngineChannelTest, a_polled_submission_is_a_copy) {
  submit(1);
  Submission submission{};
  ASSERT_TRUE(engine->poll_submission(submission));
  reinterpret_cast<Submission*>(up.data() + kHeaderBytes)->sequence = 99;
  EXPECT_EQ(submission.sequence, 1u);
}

// S-24.
TEST_F(EngineChannelTest, clears_a_bell_without_blocking) {
  const int bell = engine->worker_bell(0);
  const int flags = fcntl(bell, F_GETFL);
  fcntl(bell, F_SETFL, flags & ~O_NONBLOCK);  // as a hostile program would
  engine->clear_bell(0);
  const std::uint64_t one = 1;
  ASSERT_EQ(write(bell, &one, sizeof one), 8);
  EXPECT_TRUE(readable(bell));
  engine->clear_bell(0);
  EXPECT_FALSE(readable(bell));
}

TEST_F(EngineChannelTest, tells_the_program_that_it_is_closed) {
  engine->mark_closed();
  std::uint32_t closed = 0;
  std::memcpy(&closed, down.data() + kDownClosedOffset, sizeof closed);
  EXPECT_EQ(closed, 1u);
  EXPECT_TRUE(readable(engine->program_event()));
}

TEST_F(EngineChannelTest, yields_nothing_after_a_submission_index_jump) {
  *up_word(kUpSubmissionTailOffset) = kEntries + 1;
  Submission submission{};
  EXPECT_FALSE(engine->poll_submission(submission));
  EXPECT_TRUE(engine->violated());
  EXPECT_EQ(engine->claim_delivery(0), nullptr);
}

TEST_F(EngineChannelTest, yields_nothing_after_a_delivery_head_jump) {
  for (std::uint32_t entry = 0; entry < kEntries; ++entry)
    ASSERT_NE(engine->claim_delivery(0), nullptr);
  engine->publish_deliveries(0);
  *up_word(kUpDeliveryHeadOffset) = kEntries + 1;
  EXPECT_EQ(engine->claim_delivery(0), nullptr);
  EXPECT_TRUE(engine->violated());
}

TEST_F(EngineChannelTest, yields_nothing_after_a_release_index_jump) {
  *up_word(kUpReleaseTailOffset) = ~0ULL;
  Release release{};
  EXPECT_FALSE(engine->poll_release(0, release));
  EXPECT_TRUE(engine->violated());
}

TEST_F(EngineChannelTest, echoes_through_two_threads) {
  constexpr std::uint64_t kCount = 100'000;
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    Submission submission{};
    while (!stop.load(std::memory_order_relaxed)) {
      bool worked = false;
      while (engine->delivery_room(1) > 0 && engine->poll_submission(submission)) {
        engine->claim_delivery(1)->token = submission.sequence;
        worked = true;
      }
      engine->publish_submissions();
      if (engine->publish_deliveries(1)) engine->wake_if_waiting();
      if (!worked) std::this_thread::yield();
    }
  });
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  Delivery delivery{};
  while (received < kCount) {
    while (sent < kCount && submissions.room() > 0) submit(++sent);
    while (deliveries[1].poll(delivery)) ASSERT_EQ(delivery.token, ++received);
    if (!deliveries[1].publish()) std::this_thread::yield();
  }
  stop.store(true, std::memory_order_relaxed);
  worker.join();
  EXPECT_FALSE(engine->violated());
}

struct BadOpen {
  const char* name;
  void (*spoil)(ChannelOpenRequest&, UpHeader&);
  AttachStatus said = AttachStatus::kMalformed;
};

// S-3, S-4.
TEST(EngineChannelOpen, refuses_files_that_break_a_rule) {
  const BadOpen rows[] = {
      {"magic", [](ChannelOpenRequest&, UpHeader& header) { header.magic = 1; },
       AttachStatus::kVersion},
      {"version", [](ChannelOpenRequest&, UpHeader& header) { header.layout_version = 9; },
       AttachStatus::kVersion},
      {"feature", [](ChannelOpenRequest&, UpHeader& header) { header.features = 1ULL << 63; },
       AttachStatus::kVersion},
      {"workers", [](ChannelOpenRequest&, UpHeader& header) { header.worker_count = 1; }},
      {"header entries",
       [](ChannelOpenRequest&, UpHeader& header) { header.release_entries = 32; }},
      {"file size", [](ChannelOpenRequest& open, UpHeader&) { open.up_file_bytes += 4'096; }},
      {"no power of two", [](ChannelOpenRequest& open, UpHeader&) { open.delivery_entries = 17; }},
      {"too few", [](ChannelOpenRequest& open, UpHeader&) { open.delivery_entries = 8; }},
      {"too many", [](ChannelOpenRequest& open, UpHeader&) { open.delivery_entries = 1u << 20; }},
      {"sequence 0", [](ChannelOpenRequest& open, UpHeader&) { open.next_sequence = 0; }},
  };
  for (const BadOpen& row : rows) {
    auto file = MemoryFile::create("up", up_file_bytes(kEntries, kEntries, kWorkers));
    ASSERT_TRUE(file.ok());
    ChannelOpenRequest open = request();
    UpHeader header = up_header();
    row.spoil(open, header);
    std::memcpy(file.value().data(), &header, sizeof header);
    auto opened = EngineChannel::open(dup(file.value().descriptor()), open, kWorkers, 0);
    ASSERT_FALSE(opened.ok()) << row.name;
    EXPECT_EQ(opened.error(), row.said) << row.name;
  }
}

}  // namespace
}  // namespace ringwire::ipc
