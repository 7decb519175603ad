#include "ipc/doorbell.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "ipc/spsc_queue.h"

namespace ringwire::ipc {
namespace {

struct Doorbell : testing::Test {
  Doorbell() {
    sleeper.attach(&word);
    ringer.attach(&word);
  }
  std::uint32_t word = 0;
  Sleeper sleeper;
  Ringer ringer;
};

// S-21.
TEST_F(Doorbell, rings_once_for_each_sleep) {
  EXPECT_FALSE(ringer.must_ring(kAsleep));
  sleeper.arm(kAsleep);
  EXPECT_TRUE(ringer.must_ring(kAsleep));
  EXPECT_FALSE(ringer.must_ring(kAsleep));
  sleeper.disarm();
  EXPECT_FALSE(ringer.must_ring(kAsleep));
  sleeper.arm(kAsleep);
  EXPECT_TRUE(ringer.must_ring(kAsleep));
}

TEST_F(Doorbell, rings_for_room_only_when_room_is_wanted) {
  sleeper.arm(kAsleep);
  EXPECT_FALSE(ringer.must_ring(kAsleepForRoom));
  sleeper.arm(kAsleepForRoom);
  EXPECT_TRUE(ringer.must_ring(kAsleepForRoom));
  sleeper.arm(kAsleepForRoom);
  EXPECT_TRUE(ringer.must_ring(kAsleep)) << "who wants room wants entries too";
}

TEST_F(Doorbell, latch_stays_up) {
  std::uint32_t flag = 0;
  Latch latch;
  latch.attach(&flag);
  EXPECT_FALSE(latch.is_set());
  latch.set();
  EXPECT_TRUE(latch.is_set());
}

// A consumer that sleeps after every entry and a producer that rings only when told to: a lost
// wake-up would leave poll waiting until its deadline.
// S-20.
TEST_F(Doorbell, loses_no_wake_up_between_two_threads) {
  constexpr std::uint64_t kCount = 20'000;
  std::uint64_t entries[8] = {};
  alignas(64) std::uint64_t tail = 0;
  alignas(64) std::uint64_t head = 0;
  SpscProducer<std::uint64_t> producer;
  SpscConsumer<std::uint64_t> consumer;
  producer.attach(entries, 8, &tail, &head);
  consumer.attach(entries, 8, &tail, &head);
  const int event = eventfd(0, EFD_NONBLOCK);
  std::thread thread([&] {
    for (std::uint64_t value = 1; value <= kCount;) {
      if (std::uint64_t* entry = producer.claim()) {
        *entry = value++;
      } else {
        std::this_thread::yield();
      }
      if (producer.publish() && ringer.must_ring(kAsleep)) eventfd_write(event, 1);
    }
  });
  std::uint64_t seen = 0;
  bool lost = false;
  while (seen < kCount && !lost) {
    std::uint64_t value = 0;
    while (consumer.poll(value)) EXPECT_EQ(value, ++seen);
    consumer.publish();
    if (seen == kCount) break;
    sleeper.arm(kAsleep);
    if (!consumer.waits_now()) {
      pollfd wait{.fd = event, .events = POLLIN, .revents = 0};
      lost = poll(&wait, 1, 10'000) == 0;
      eventfd_t count = 0;
      eventfd_read(event, &count);
    }
    sleeper.disarm();
  }
  EXPECT_FALSE(lost) << "after " << seen;
  // Drain what is left so that the producer can end also after a failure.
  std::uint64_t value = 0;
  while (seen < kCount) {
    while (consumer.poll(value)) ++seen;
    consumer.publish();
  }
  thread.join();
  close(event);
}

}  // namespace
}  // namespace ringwire::ipc
