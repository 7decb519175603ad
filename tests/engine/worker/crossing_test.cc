#include "engine/worker/crossing.h"

#include <atomic>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

#include "engine/worker/worker.h"

namespace ringwire::worker {
namespace {

bool send(PacketBox& box, std::uint32_t value) {
  const std::span<std::byte> room = box.claim();
  if (room.empty()) return false;
  std::memcpy(room.data(), &value, sizeof value);
  box.publish(sizeof value);
  return true;
}

std::uint32_t receive(PacketBox& box) {
  std::uint32_t value = 0;
  EXPECT_EQ(box.front().size(), sizeof value);
  std::memcpy(&value, box.front().data(), sizeof value);
  box.pop();
  return value;
}

TEST(PacketBox, gives_packets_in_order_and_refuses_when_full) {
  PacketBox box;
  EXPECT_TRUE(box.empty());
  for (std::uint32_t value = 0; value < kCrossingPackets; ++value) ASSERT_TRUE(send(box, value));
  EXPECT_FALSE(send(box, 99));
  EXPECT_EQ(receive(box), 0U);
  EXPECT_TRUE(send(box, kCrossingPackets));
  EXPECT_FALSE(send(box, 99));
  for (std::uint32_t value = 1; value <= kCrossingPackets; ++value) EXPECT_EQ(receive(box), value);
  EXPECT_TRUE(box.empty());
  EXPECT_TRUE(box.front().empty());
}

TEST(PacketBox, keeps_what_was_claimed_until_it_is_published) {
  PacketBox box;
  const std::byte* room = box.claim().data();
  EXPECT_EQ(box.claim().data(), room);
  EXPECT_TRUE(box.empty());
  EXPECT_EQ(box.claim().size(), kCrossingPacketBytes);
}

TEST(SleepFlag, asks_for_one_wake_per_sleep) {
  SleepFlag flag;
  EXPECT_FALSE(flag.must_wake());
  flag.lie_down();
  EXPECT_TRUE(flag.must_wake());
  EXPECT_FALSE(flag.must_wake());
  flag.lie_down();
  flag.get_up();
  EXPECT_FALSE(flag.must_wake());
}

TEST(Crossing, has_a_box_for_each_ordered_pair) {
  Crossing crossing(3);
  EXPECT_NE(&crossing.box(0, 1), &crossing.box(1, 0));
  EXPECT_NE(&crossing.box(0, 1), &crossing.box(0, 2));
  EXPECT_EQ(&crossing.box(2, 1), &crossing.box(2, 1));
  EXPECT_EQ(Crossing::memory_bytes(1), 0U);
}

TEST(Crossing, is_in_the_memory_sum_of_an_engine_with_several_workers) {
  WorkerConfig one;
  WorkerConfig two;
  two.worker_count = 2;
  EXPECT_GE(worker_memory_bytes(two),
            worker_memory_bytes(one) + std::uint64_t{kCrossingPackets} * kCrossingPacketBytes);
}

// A sleeper that is never woken over a packet would end this test by its deadline: it waits for a
// wake only when it lay down over an empty box.
TEST(Crossing, never_leaves_a_sleeper_over_a_packet) {
  constexpr std::uint32_t kPackets = 200'000;
  Crossing crossing(2);
  std::atomic<std::uint32_t> wakes{0};
  std::thread sender([&] {
    for (std::uint32_t value = 0; value < kPackets;) {
      if (!send(crossing.box(0, 1), value)) {
        std::this_thread::yield();
        continue;
      }
      ++value;
      if (crossing.sleeper(1).must_wake()) wakes.fetch_add(1, std::memory_order_release);
    }
  });
  std::uint32_t expected = 0;
  std::uint32_t wrong = 0;
  std::uint32_t seen_wakes = 0;
  while (expected < kPackets) {
    if (!crossing.box(0, 1).empty()) {
      if (receive(crossing.box(0, 1)) != expected) ++wrong;
      ++expected;
      continue;
    }
    crossing.sleeper(1).lie_down();
    if (crossing.box(0, 1).empty())
      while (wakes.load(std::memory_order_acquire) == seen_wakes) std::this_thread::yield();
    crossing.sleeper(1).get_up();
    seen_wakes = wakes.load(std::memory_order_acquire);
  }
  sender.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace ringwire::worker
