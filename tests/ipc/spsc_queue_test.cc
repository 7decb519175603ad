#include "ipc/spsc_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/ipc/dice.h"

namespace ringwire::ipc {
namespace {

constexpr std::uint32_t kEntries = 4;

struct Pair {
  Pair() { attach(kEntries); }
  explicit Pair(std::uint32_t capacity) { attach(capacity); }
  void attach(std::uint32_t capacity) {
    entries.resize(capacity);
    producer.attach(entries.data(), capacity, &tail, &head);
    consumer.attach(entries.data(), capacity, &tail, &head);
  }
  bool push(std::uint64_t value) {
    std::uint64_t* entry = producer.claim();
    if (entry == nullptr) return false;
    *entry = value;
    return true;
  }
  std::vector<std::uint64_t> entries;
  alignas(64) std::uint64_t tail = 0;
  alignas(64) std::uint64_t head = 0;
  SpscProducer<std::uint64_t> producer;
  SpscConsumer<std::uint64_t> consumer;
};

// S-11.
TEST(SpscQueue, shows_nothing_before_it_is_published) {
  Pair pair;
  ASSERT_TRUE(pair.push(7));
  std::uint64_t value = 0;
  EXPECT_FALSE(pair.consumer.poll(value));
  EXPECT_TRUE(pair.producer.publish());
  EXPECT_FALSE(pair.producer.publish());
  ASSERT_TRUE(pair.consumer.poll(value));
  EXPECT_EQ(value, 7u);
}

// S-10.
TEST(SpscQueue, is_full_until_the_consumer_publishes) {
  Pair pair;
  for (std::uint64_t value = 0; value < kEntries; ++value) ASSERT_TRUE(pair.push(value));
  pair.producer.publish();
  EXPECT_FALSE(pair.push(99));
  std::uint64_t value = 0;
  ASSERT_TRUE(pair.consumer.poll(value));
  EXPECT_FALSE(pair.push(99)) << "taken, but not given back";
  EXPECT_TRUE(pair.consumer.publish());
  EXPECT_TRUE(pair.push(99));
  EXPECT_EQ(pair.producer.room(), 0u);
}

// Every sequence of 9 steps over {claim, publish, poll, give back} against a queue that cannot be
// wrong.
TEST(SpscQueue, agrees_with_a_naive_twin_in_every_short_interleaving) {
  constexpr std::uint32_t kSteps = 9;
  for (std::uint32_t script = 0; script < 1u << (2 * kSteps); ++script) {
    Pair pair(2);
    std::deque<std::uint64_t> claimed;
    std::deque<std::uint64_t> visible;
    std::uint64_t next = 1;
    std::uint64_t held = 0;  // claimed or visible or taken but not given back
    std::uint64_t taken = 0;
    for (std::uint32_t step = 0; step < kSteps; ++step) {
      switch ((script >> (2 * step)) & 3) {
        case 0:
          ASSERT_EQ(pair.push(next), held < 2) << script << " at " << step;
          if (held < 2) {
            claimed.push_back(next++);
            ++held;
          }
          break;
        case 1:
          ASSERT_EQ(pair.producer.publish(), !claimed.empty());
          visible.insert(visible.end(), claimed.begin(), claimed.end());
          claimed.clear();
          break;
        case 2: {
          std::uint64_t value = 0;
          ASSERT_EQ(pair.consumer.poll(value), !visible.empty()) << script << " at " << step;
          if (visible.empty()) break;
          ASSERT_EQ(value, visible.front());
          visible.pop_front();
          ++taken;
          break;
        }
        default:
          ASSERT_EQ(pair.consumer.publish(), taken > 0);
          held -= taken;
          taken = 0;
      }
    }
  }
}

struct Jump {
  const char* name;
  std::uint64_t from;
  std::uint64_t to;
  bool allowed;
};

// S-12.
TEST(SpscQueue, consumer_breaks_on_an_impossible_tail) {
  const Jump rows[] = {
      {"nothing", 0, 0, true},         {"one", 0, 1, true},        {"the whole queue", 0, 4, true},
      {"past the queue", 0, 5, false}, {"backwards", 2, 1, false}, {"huge", 0, ~0ULL, false},
  };
  for (const Jump& row : rows) {
    Pair pair;
    std::uint64_t value = 0;
    pair.tail = row.from;
    for (std::uint64_t index = 0; index < row.from; ++index)
      ASSERT_TRUE(pair.consumer.poll(value)) << row.name;
    pair.tail = row.to;
    while (pair.consumer.poll(value)) {
    }
    EXPECT_EQ(pair.consumer.broken(), !row.allowed) << row.name;
    pair.tail = row.from + 1;
    if (!row.allowed) {
      EXPECT_FALSE(pair.consumer.poll(value)) << row.name << ": broken for good";
    }
  }
}

// S-12.
TEST(SpscQueue, producer_breaks_on_an_impossible_head) {
  const Jump rows[] = {
      {"one back", 0, 1, true},
      {"all back", 0, 4, true},
      {"more than published", 0, 5, false},
      {"huge", 0, ~0ULL, false},
  };
  for (const Jump& row : rows) {
    Pair pair;
    for (std::uint64_t value = 0; value < kEntries; ++value) ASSERT_TRUE(pair.push(value));
    pair.producer.publish();
    pair.head = row.to;
    EXPECT_EQ(pair.producer.room() > 0, row.allowed) << row.name;
    EXPECT_EQ(pair.producer.broken(), !row.allowed) << row.name;
  }
}

// S-15: a producer that dies after writing entries and before the tail store; one that dies after.
TEST(SpscQueue, a_dead_producer_leaves_whole_entries_or_none) {
  Pair pair;
  ASSERT_TRUE(pair.push(1));
  pair.producer.publish();
  ASSERT_TRUE(pair.push(2));  // never published
  std::uint64_t value = 0;
  ASSERT_TRUE(pair.consumer.poll(value));
  EXPECT_EQ(value, 1u);
  EXPECT_FALSE(pair.consumer.poll(value));
  EXPECT_FALSE(pair.consumer.broken());
}

TEST(SpscQueue, carries_a_million_entries_between_two_threads_in_order) {
  constexpr std::uint64_t kCount = 1'000'000;
  Pair pair(64);
  std::thread producer([&] {
    Dice dice(1);
    for (std::uint64_t value = 1; value <= kCount;) {
      for (std::uint64_t burst = dice.between(1, 40); burst > 0 && value <= kCount; --burst)
        if (pair.push(value)) ++value;
      if (!pair.producer.publish()) std::this_thread::yield();
    }
    pair.producer.publish();
  });
  std::uint64_t expected = 1;
  std::uint64_t value = 0;
  while (expected <= kCount) {
    while (pair.consumer.poll(value)) ASSERT_EQ(value, expected++);
    if (!pair.consumer.publish()) std::this_thread::yield();
  }
  producer.join();
  EXPECT_FALSE(pair.consumer.broken());
  EXPECT_FALSE(pair.producer.broken());
}

}  // namespace
}  // namespace ringwire::ipc
