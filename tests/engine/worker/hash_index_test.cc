#include "engine/worker/hash_index.h"

#include <gtest/gtest.h>

#include <unordered_map>

#include "base/random.h"

namespace ringwire::worker {
namespace {

TEST(HashIndex, behaves_as_a_map_through_any_mix_of_puts_and_erases) {
  Random random(7);
  HashIndex index(256);
  std::unordered_map<std::uint64_t, std::uint32_t> twin;
  for (std::uint32_t step = 0; step < 100'000; ++step) {
    const std::uint64_t key = random.below(400);
    if (random.chance(0.5) && (twin.size() < 256 || twin.contains(key))) {
      index.put(key, step);
      twin[key] = step;
    } else if (random.chance(0.3)) {
      const std::uint32_t value = twin.contains(key) && random.chance(0.5) ? twin[key] : 400'000;
      index.erase(key, value);
      if (twin.contains(key) && twin[key] == value) twin.erase(key);
    } else {
      index.erase(key);
      twin.erase(key);
    }
    ASSERT_EQ(index.count(), twin.size());
    const std::uint64_t probe = random.below(400);
    const auto found = twin.find(probe);
    ASSERT_EQ(index.find(probe), found == twin.end() ? kNone : found->second);
  }
}

TEST(HashIndex, keeps_all_entries_while_it_grows_to_its_limit_and_shrinks_again) {
  constexpr std::uint32_t kMost = 5'000;
  HashIndex index(kMost);
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t key = 0; key < kMost; ++key) {
      index.put(key, key + 1);
      ASSERT_EQ(index.find(key), key + 1);
      ASSERT_EQ(index.find(key / 2), key / 2 + 1);
    }
    ASSERT_EQ(index.count(), kMost);
    for (std::uint32_t key = 0; key < kMost; ++key) {
      index.erase(key);
      ASSERT_EQ(index.find(key), kNone);
      ASSERT_EQ(index.find(kMost - 1), key == kMost - 1 ? kNone : kMost);
    }
    ASSERT_EQ(index.count(), 0U);
  }
}

TEST(HashIndex, serves_the_smallest_sizes) {
  for (std::uint32_t most = 1; most < 5; ++most) {
    HashIndex index(most);
    for (std::uint32_t key = 0; key < most; ++key) index.put(key, key);
    for (std::uint32_t key = 0; key < most; ++key) EXPECT_EQ(index.find(key), key);
    EXPECT_EQ(index.find(most), kNone);
  }
}

}  // namespace
}  // namespace ringwire::worker
