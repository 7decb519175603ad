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

}  // namespace
}  // namespace ringwire::worker
