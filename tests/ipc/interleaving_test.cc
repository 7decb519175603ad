// The queue, the doorbell and the status page under every short schedule of their sides, against
// twins that cannot be wrong, and with a side that dies before each of its accesses.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "ipc/doorbell.h"
#include "ipc/spsc_queue.h"
#include "ipc/status_page.h"
#include "tests/ipc/interleave.h"

namespace ringwire::ipc {
namespace {

// Two words that belong together: a reader that sees one of them sees the other.
struct Entry {
  std::uint64_t value;
  std::uint64_t check;
};

// A side may stop between the two. Into memory at once: nobody may look at an entry before a store
// that no entry's store can overtake.
template <typename Words>
void write_entry(Entry* entry, std::uint64_t value) {
  Words::stop();
  entry->value = value;
  Words::stop();
  entry->check = ~value;
}
template <typename Words>
std::uint64_t read_entry(const Entry* entry) {
  Words::stop();
  const std::uint64_t value = entry->value;
  Words::stop();
  return entry->check == ~value ? value : 0;
}

/// A queue between two fibers and its twin: what stands between the steps of both.
template <typename Words>
struct TwinQueue {
  explicit TwinQueue(std::uint32_t of) : capacity(of), entries(of) {
    producer.attach(entries.data(), capacity, &tail, &head);
    consumer.attach(entries.data(), capacity, &tail, &head);
  }

  void wrong(const std::string& text) {
    if (failure.empty()) failure = text;
  }
  bool push() {
    Entry* entry = producer.claim();
    if ((entry != nullptr) != (claimed - given_back < capacity) && !lags)
      wrong("claimed against the twin");
    if (entry == nullptr) return false;
    write_entry<Words>(entry, ++claimed);
    return true;
  }
  // The twin's half comes between the access and whatever follows: no other side runs in between.
  bool publish() {
    const bool any = producer.publish();
    published = claimed;
    return any;
  }
  bool take() {
    const Entry* entry = consumer.peek();
    if (entry == nullptr) {
      if (published > taken && !lags) wrong("nothing seen, though it was published");
      return false;
    }
    const std::uint64_t value = read_entry<Words>(entry);
    if (value != taken + 1) wrong("saw " + std::to_string(value));
    if (value > published) wrong("saw what is not published");
    consumer.skip();
    ++taken;
    return true;
  }
  bool give_back() {
    const bool any = consumer.publish();
    given_back = taken;
    return any;
  }
  [[nodiscard]] bool broken() const { return producer.broken() || consumer.broken(); }

  std::uint32_t capacity;
  std::vector<Entry> entries;
  alignas(64) std::uint64_t tail = 0;
  alignas(64) std::uint64_t head = 0;
  SpscProducer<Entry, Words> producer;
  SpscConsumer<Entry, Words> consumer;
  std::uint64_t claimed = 0;
  std::uint64_t published = 0;
  std::uint64_t taken = 0;
  std::uint64_t given_back = 0;
  bool lags = false;  ///< stores may stay back: a side may see the past
  std::string failure;
};

// ---- the queue ----------------------------------------------------------------------------------

struct QueueStory {
  QueueStory(std::uint32_t capacity, int pushes_, int per_publish_, int looks_)
      : queue(std::make_unique<TwinQueue<TracedWords>>(capacity)),
        pushes(pushes_),
        per_publish(per_publish_),
        looks(looks_) {}

  void begin(Interleaving& world) {
    world.add([this] {
      for (int count = 1; count <= pushes; ++count) {
        queue->push();
        if (count % per_publish == 0) queue->publish();
      }
      queue->publish();
    });
    world.add([this] {
      for (int count = 0; count < looks; ++count)
        if (queue->take()) queue->give_back();
    });
  }
  std::string verdict(Interleaving& world, bool ended) {
    if (!ended) return "somebody waits";
    if (queue->broken()) return "a side found the other's index impossible";
    if (!queue->failure.empty()) return queue->failure;
    // Whoever is left, and looks later, sees whole entries, all of what was published and no more.
    if (!world.died(1)) {
      while (queue->take()) {
      }
      if (queue->taken != queue->published) return "published and never seen";
    }
    if (!world.died(0)) {
      while (queue->push()) {
      }
      if (queue->claimed - queue->given_back != queue->capacity) return "room was lost";
    }
    return queue->broken() ? "a side found the other's index impossible" : queue->failure;
  }

  std::unique_ptr<TwinQueue<TracedWords>> queue;
  int pushes;
  int per_publish;
  int looks;
};

struct QueueShape {
  std::uint32_t capacity;
  int pushes;
  int per_publish;
  int looks;
};

// S-10, S-11.
TEST(Interleavings, queue_agrees_with_its_twin_in_every_short_schedule) {
  std::uint64_t schedules = 0;
  for (const QueueShape& shape :
       {QueueShape{1, 2, 1, 3}, QueueShape{2, 2, 1, 3}, QueueShape{2, 3, 2, 2},
        QueueShape{2, 4, 4, 2}, QueueShape{1, 3, 1, 3}, QueueShape{2, 3, 1, 3}}) {
    const Explored result = explore<QueueStory>(
        [&] { return QueueStory(shape.capacity, shape.pushes, shape.per_publish, shape.looks); });
    ASSERT_EQ(result.failure, "") << "after " << result.schedules << " schedules of "
                                  << shape.capacity << "/" << shape.pushes;
    schedules += result.schedules;
  }
  EXPECT_GT(schedules, 10'000u);
}

// S-15, S-16: the producer dies before each of its accesses, under every schedule.
TEST(Interleavings, a_producer_that_dies_anywhere_leaves_whole_entries_in_order) {
  for (std::size_t access = 0; access < 10; ++access) {
    const Explored result =
        explore<QueueStory>([] { return QueueStory(2, 3, 1, 2); }, 4, 0, access);
    ASSERT_EQ(result.failure, "") << "dead before access " << access;
  }
}

// S-15, S-16.
TEST(Interleavings, a_consumer_that_dies_anywhere_takes_room_but_breaks_nothing) {
  for (std::size_t access = 0; access < 9; ++access) {
    const Explored result =
        explore<QueueStory>([] { return QueueStory(2, 3, 1, 2); }, 4, 1, access);
    ASSERT_EQ(result.failure, "") << "dead before access " << access;
  }
}

// ---- sleep and wake -----------------------------------------------------------------------------

/// A program that sleeps when it sees nothing, and one or two workers that publish to it.
template <typename Words>
struct SleepStory {
  SleepStory(std::size_t worker_count, std::uint64_t per_worker_)
      : shared(std::make_unique<Shared>()), per_worker(per_worker_) {
    for (std::size_t worker = 0; worker < worker_count; ++worker) {
      shared->queues.push_back(std::make_unique<TwinQueue<Words>>(2));
      shared->queues.back()->lags = std::is_same_v<Words, WeakWords>;
    }
    shared->sleeper.attach(&shared->word);
    shared->ringer.attach(&shared->word);
  }

  void begin(Interleaving& world) {
    for (auto& queue : shared->queues)
      world.add([this, &on = *queue] {
        for (std::uint64_t count = 0; count < per_worker; ++count) {
          on.push();
          if (on.publish() && shared->ringer.must_ring(kAsleep)) ring();
        }
      });
    world.add([this, &world] { sleep_and_take(world); });
  }
  void ring() {
    shared->bell = true;
    ++shared->rings;
  }
  [[nodiscard]] bool workers_are_gone(Interleaving& world) const {
    for (std::size_t worker = 0; worker < shared->queues.size(); ++worker)
      if (!world.died(worker)) return false;
    return true;
  }
  [[nodiscard]] std::uint64_t taken() const {
    std::uint64_t sum = 0;
    for (const auto& queue : shared->queues) sum += queue->taken;
    return sum;
  }
  void sleep_and_take(Interleaving& world) {
    bool told_of_death = false;
    while (taken() < per_worker * shared->queues.size()) {
      bool any = false;
      for (auto& queue : shared->queues) {
        while (queue->take()) any = true;
        queue->give_back();
      }
      if (any) continue;
      if (told_of_death) return;
      shared->sleeper.arm(kAsleep);
      ++shared->sleeps;
      bool waits = false;
      for (auto& queue : shared->queues) waits |= queue->consumer.waits_now();
      // The bell, or the word of the kernel that the process at the other end has died.
      if (!waits) world.wait_until([&] { return shared->bell || workers_are_gone(world); });
      told_of_death = !waits && !shared->bell;
      shared->bell = false;
      shared->sleeper.disarm();
    }
  }
  std::string verdict(Interleaving& world, bool ended) {
    if (!ended) return "a wake-up was lost";
    if (shared->rings > shared->sleeps) return "more rings than sleeps";
    for (auto& queue : shared->queues) {
      if (!queue->failure.empty()) return queue->failure;
      if (queue->broken()) return "a side found the other's index impossible";
      if (queue->taken != queue->published && !world.died(shared->queues.size()))
        return "published and never seen";
    }
    return {};
  }

  struct Shared {
    std::vector<std::unique_ptr<TwinQueue<Words>>> queues;
    alignas(64) std::uint32_t word = 0;
    BasicSleeper<Words> sleeper;
    BasicRinger<Words> ringer;
    bool bell = false;
    int rings = 0;
    int sleeps = 0;
  };
  std::unique_ptr<Shared> shared;
  std::uint64_t per_worker;
};

// S-20, S-21.
TEST(Interleavings, no_wake_up_is_lost_in_any_short_schedule) {
  const Explored result =
      explore<SleepStory<TracedWords>>([] { return SleepStory<TracedWords>(1, 2); }, 5);
  EXPECT_EQ(result.failure, "") << "after " << result.schedules;
  EXPECT_GT(result.schedules, 1'000u);
}

// S-20, S-25: what the four sequentially consistent accesses are for. Were they less, a store could
// pass the load behind it, and this finds the schedule in which a wake-up is lost.
TEST(Interleavings, weaker_accesses_would_lose_a_wake_up) {
  const Explored result =
      explore<SleepStory<WeakWords>>([] { return SleepStory<WeakWords>(1, 1); }, 5);
  EXPECT_EQ(result.failure, "a wake-up was lost");
}

// S-21: two workers, one program, one ringer.
TEST(Interleavings, two_workers_lose_no_wake_up_and_ring_once_for_a_sleep) {
  const Explored result =
      explore<SleepStory<TracedWords>>([] { return SleepStory<TracedWords>(2, 1); }, 3);
  EXPECT_EQ(result.failure, "") << "after " << result.schedules;
  EXPECT_GT(result.schedules, 1'000u);
}

// S-17: the publisher dies between any two accesses, also between index and ring. The sleeper is
// told of the death by the kernel, and finds all that was published.
TEST(Interleavings, a_publisher_that_dies_anywhere_leaves_nobody_asleep_for_ever) {
  for (std::size_t access = 0; access < 10; ++access) {
    const Explored result = explore<SleepStory<TracedWords>>(
        [] { return SleepStory<TracedWords>(1, 2); }, 3, 0, access);
    ASSERT_EQ(result.failure, "") << "dead before access " << access;
  }
}

// S-17: a sleeper that dies armed costs its publishers one ring, and no wait.
TEST(Interleavings, a_sleeper_that_dies_anywhere_holds_up_nobody) {
  for (std::size_t access = 0; access < 14; ++access) {
    const Explored result = explore<SleepStory<TracedWords>>(
        [] { return SleepStory<TracedWords>(1, 2); }, 3, 1, access);
    ASSERT_EQ(result.failure, "") << "dead before access " << access;
  }
}

/// A producer that sleeps for room. `kOnlyWhenFull`: as a worker does that parks a channel, rung by
/// a program only if the queue was full; else as a program does, rung at every giving back.
struct RoomStory {
  RoomStory(std::uint64_t count_, bool only_when_full_)
      : shared(std::make_unique<Shared>()), count(count_), only_when_full(only_when_full_) {
    shared->sleeper.attach(&shared->word);
    shared->ringer.attach(&shared->word);
    shared->queue.lags = only_when_full;  // it looks once more after it gave back
  }
  void begin(Interleaving& world) {
    world.add([this, &world] {
      auto& queue = shared->queue;
      while (queue.claimed < count) {
        if (queue.push()) {
          queue.publish();
          continue;
        }
        shared->sleeper.arm(kind());
        if (!queue.producer.room_now()) world.wait_until([&] { return shared->bell; });
        shared->bell = false;
        shared->sleeper.disarm();
      }
    });
    world.add([this, &world] {
      auto& queue = shared->queue;
      while (queue.taken < count) {
        // It looks when there is something: its own sleep is another story.
        world.wait_until([&] { return queue.published > queue.taken; });
        queue.take();
        const bool ring =
            only_when_full ? queue.consumer.publish_noting_full() : queue.consumer.publish();
        queue.given_back = queue.taken;
        if (ring && shared->ringer.must_ring(kind())) shared->bell = true;
      }
    });
  }
  [[nodiscard]] std::uint32_t kind() const { return only_when_full ? kAsleep : kAsleepForRoom; }
  std::string verdict(Interleaving&, bool ended) {
    if (!ended) return "a wake-up for room was lost";
    if (shared->queue.broken()) return "a side found the other's index impossible";
    return shared->queue.failure;
  }

  struct Shared {
    TwinQueue<TracedWords> queue{1};
    alignas(64) std::uint32_t word = 0;
    BasicSleeper<TracedWords> sleeper;
    BasicRinger<TracedWords> ringer;
    bool bell = false;
  };
  std::unique_ptr<Shared> shared;
  std::uint64_t count;
  bool only_when_full;
};

// S-22, S-23.
TEST(Interleavings, no_wake_up_for_room_is_lost_in_any_short_schedule) {
  for (const bool only_when_full : {false, true}) {
    const Explored result = explore<RoomStory>([&] { return RoomStory(3, only_when_full); }, 4);
    EXPECT_EQ(result.failure, "") << only_when_full << " after " << result.schedules;
    EXPECT_GT(result.schedules, 500u);
  }
}

// ---- the status page ----------------------------------------------------------------------------

struct PageStory {
  void begin(Interleaving& world) {
    world.add([this] {
      BasicStatusPageWriter<TracedWords> writer(data());
      writer.begin({1, 2}, 0);
      writer.append("alpha", 0);
      writer.append("beta", 1);
      writer.set_node_state(0, NodeState::kServing);
    });
    world.add([this] {
      const BasicStatusPage<TracedWords> page(data());
      for (int look = 0; look < 2; ++look) read(page);
    });
  }
  void read(const BasicStatusPage<TracedWords>& page) {
    if (!page.valid()) return;
    static constexpr const char* kNames[] = {"alpha", "beta"};
    const std::uint32_t count = page.node_count();
    if (count < seen) failure = "a node went away";
    seen = count;
    for (std::uint32_t index = 0; index < count; ++index) {
      if (page.name(index) != kNames[index]) failure = "half a name";
      if (page.node_role(index) != index) failure = "a node without its role";
    }
  }
  std::string verdict(Interleaving&, bool ended) {
    if (!ended) return "somebody waits";
    read(BasicStatusPage<TracedWords>(data()));
    return failure;
  }
  std::byte* data() { return reinterpret_cast<std::byte*>(memory->data()); }

  std::unique_ptr<std::vector<std::uint64_t>> memory =
      std::make_unique<std::vector<std::uint64_t>>(kHeaderBytes / 8 + 2 * sizeof(NodeRecord) / 8);
  std::uint32_t seen = 0;
  std::string failure;
};

// S-50.
TEST(Interleavings, a_page_shows_only_whole_nodes_in_any_schedule) {
  const Explored result = explore<PageStory>([] { return PageStory(); }, 3);
  EXPECT_EQ(result.failure, "") << "after " << result.schedules;
  EXPECT_GT(result.schedules, 1'000u);
}

// S-18, S-50: the engine dies between any two stores to its page.
TEST(Interleavings, an_engine_that_dies_anywhere_leaves_a_page_of_whole_nodes) {
  for (std::size_t access = 0; access < 12; ++access) {
    const Explored result = explore<PageStory>([] { return PageStory(); }, 2, 0, access);
    ASSERT_EQ(result.failure, "") << "dead before access " << access;
  }
}

}  // namespace
}  // namespace ringwire::ipc
