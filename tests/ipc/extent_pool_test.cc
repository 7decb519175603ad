#include "ipc/extent_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "tests/ipc/dice.h"

namespace ringwire::ipc {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

TEST(ExtentPool, names_the_class_of_each_size) {
  const struct {
    std::uint64_t bytes;
    std::uint16_t size_class;
  } rows[] = {
      {0, 0}, {512, 0}, {513, 1}, {2'048, 1}, {8'193, 3}, {66'560, 4}, {66'561, kLargeClass}};
  for (const auto& row : rows) EXPECT_EQ(ExtentPool::class_of(row.bytes), row.size_class);
}

TEST(ExtentPool, rounds_large_files_to_four_steps_per_power_of_two) {
  const struct {
    std::uint64_t bytes;
    std::uint64_t file_bytes;
  } rows[] = {{66'561, 81'920},
              {81'920, 81'920},
              {81'921, 98'304},
              {kMiB, kMiB},
              {kMiB + 1, kMiB + kMiB / 4},
              {1'900'000, 2 * kMiB},
              {1, 4'096},
              {4ULL << 30, 4ULL << 30},
              {(4ULL << 30) + 1, 5ULL << 30}};
  for (const auto& row : rows)
    EXPECT_EQ(ExtentPool::large_file_bytes(row.bytes), row.file_bytes) << row.bytes;
}

TEST(ExtentPool, large_files_waste_at_most_a_quarter) {
  Dice dice(3);
  for (int round = 0; round < 10'000; ++round) {
    const std::uint64_t bytes = dice.between(66'561, 1ULL << dice.between(17, 40));
    const std::uint64_t file = ExtentPool::large_file_bytes(bytes);
    ASSERT_GE(file, bytes);
    ASSERT_LE(file, bytes + bytes / 4 + 4'096) << bytes;
  }
}

TEST(ExtentPool, has_nothing_before_a_file_is_added) {
  ExtentPool pool;
  EXPECT_FALSE(pool.take(100).has_value());
  EXPECT_FALSE(pool.take(kMiB).has_value());
  EXPECT_TRUE(pool.runs_low(0));
}

TEST(ExtentPool, uses_the_last_extent_first) {
  std::vector<std::byte> memory(kClassFileBytes);
  ExtentPool pool;
  pool.add_class_file(1, 7, memory.data(), memory.size(), 0);
  const Extent first = pool.take(2'000).value();
  EXPECT_EQ(first.file, 7u);
  EXPECT_EQ(first.data, memory.data() + first.offset);
  EXPECT_GE(first.bytes, 2'000u);
  const Extent second = pool.take(2'000).value();
  EXPECT_NE(first.offset, second.offset);
  pool.give_back(first, 0);
  EXPECT_EQ(pool.take(1'000).value().offset, first.offset);
  EXPECT_EQ(pool.extents_taken(), 2u);
}

TEST(ExtentPool, returns_what_a_burst_needed_and_keeps_the_first_file) {
  std::vector<std::vector<std::byte>> memory(4, std::vector<std::byte>(kClassFileBytes));
  ExtentPool pool;
  for (std::uint32_t file = 0; file < 4; ++file)
    pool.add_class_file(4, file + 1, memory[file].data(), kClassFileBytes, 0);  // 15 extents each
  std::vector<Extent> burst;
  while (const auto extent = pool.take(66'560)) burst.push_back(*extent);
  ASSERT_EQ(burst.size(), 60u);
  EXPECT_FALSE(pool.may_shrink());
  EXPECT_EQ(pool.evict_idle_class_file(1'000'000), 0u) << "all are in use";
  for (const Extent& extent : burst) pool.give_back(extent, 100);
  EXPECT_TRUE(pool.may_shrink());
  EXPECT_EQ(pool.evict_idle_class_file(100), 0u) << "not idle before that time";
  std::vector<std::uint32_t> evicted;
  while (const std::uint32_t file = pool.evict_idle_class_file(101)) evicted.push_back(file);
  std::sort(evicted.begin(), evicted.end());
  EXPECT_EQ(evicted, (std::vector<std::uint32_t>{2, 3, 4}));
  EXPECT_FALSE(pool.may_shrink());
  EXPECT_EQ(pool.file_bytes(), kClassFileBytes);
  pool.add_class_file(4, 9, memory[1].data(), kClassFileBytes, 200);
  std::size_t again = 0;
  while (pool.take(66'560)) ++again;
  EXPECT_EQ(again, 30u) << "a freed slot is used again";
}

TEST(ExtentPool, keeps_as_much_free_as_is_taken) {
  std::vector<std::vector<std::byte>> memory(3, std::vector<std::byte>(kClassFileBytes));
  ExtentPool pool;
  for (std::uint32_t file = 0; file < 3; ++file)
    pool.add_class_file(4, file + 1, memory[file].data(), kClassFileBytes, 0);
  for (int taken = 0; taken < 14; ++taken) ASSERT_TRUE(pool.take(66'560));
  EXPECT_NE(pool.evict_idle_class_file(1), 0u) << "31 free of 45: 16 of 30 stay";
  EXPECT_EQ(pool.evict_idle_class_file(1), 0u) << "1 of 15 would";
}

TEST(ExtentPool, runs_low_under_a_quarter) {
  std::vector<std::byte> memory(kClassFileBytes);
  ExtentPool pool;
  pool.add_class_file(4, 1, memory.data(), memory.size(), 0);  // 15 extents
  for (int taken = 0; taken < 11; ++taken) ASSERT_TRUE(pool.take(66'560).has_value());
  EXPECT_FALSE(pool.runs_low(4)) << "4 of 15 free";
  ASSERT_TRUE(pool.take(66'560).has_value());
  EXPECT_TRUE(pool.runs_low(4)) << "3 of 15 free";
}

TEST(ExtentPool, takes_a_large_file_that_is_at_most_twice_too_large) {
  std::byte memory[1];
  ExtentPool pool;
  pool.add_large_file(3, memory, 4 * kMiB);
  EXPECT_FALSE(pool.take(2 * kMiB).has_value()) << "half of it would be unused";
  EXPECT_FALSE(pool.take(4 * kMiB + 1).has_value());
  const auto extent = pool.take(3 * kMiB);
  ASSERT_TRUE(extent.has_value());
  EXPECT_EQ(extent->file, 3u);
  EXPECT_EQ(extent->bytes, 4 * kMiB);
  EXPECT_EQ(pool.free_large_bytes(), 0u);
  pool.give_back(*extent, 5);
  EXPECT_EQ(pool.free_large_bytes(), 4 * kMiB);
}

TEST(ExtentPool, evicts_the_large_file_that_is_idle_for_longest) {
  std::byte memory[2];
  ExtentPool pool;
  pool.add_large_file(1, memory, kMiB);
  pool.add_large_file(2, memory + 1, kMiB);
  const Extent two = pool.take(kMiB).value();
  const Extent one = pool.take(kMiB).value();
  pool.give_back(one, 10);
  pool.give_back(two, 20);
  EXPECT_EQ(pool.evict_idle_large(10), 0u);
  EXPECT_EQ(pool.evict_idle_large(15), one.file);
  EXPECT_EQ(pool.evict_idle_large(15), 0u);
  EXPECT_EQ(pool.file_bytes(), kMiB);
}

TEST(ExtentPool, never_hands_one_range_out_twice) {
  Dice dice(11);
  std::vector<std::vector<std::byte>> files(5, std::vector<std::byte>(kClassFileBytes));
  ExtentPool pool;
  for (std::uint16_t index = 0; index < 5; ++index)
    pool.add_class_file(index, index + 1u, files[index].data(), kClassFileBytes, 0);
  std::map<std::byte*, Extent> held;
  for (int round = 0; round < 20'000; ++round) {
    if (dice.chance(55)) {
      const auto extent = pool.take(dice.between(0, 66'560));
      if (!extent) continue;
      ASSERT_LE(extent->offset + extent->bytes, kClassFileBytes);
      const auto [at, added] = held.emplace(extent->data, *extent);
      ASSERT_TRUE(added);
      if (at != held.begin()) {
        ASSERT_LE(std::prev(at)->first + std::prev(at)->second.bytes, at->first);
      }
    } else if (!held.empty()) {
      pool.give_back(held.begin()->second, round);
      held.erase(held.begin());
    }
    ASSERT_EQ(pool.extents_taken(), held.size());
  }
}

}  // namespace
}  // namespace ringwire::ipc
