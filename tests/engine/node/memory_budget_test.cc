#include "engine/node/memory_budget.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/engine/node/scratch_folder.h"

namespace ringwire::node {
namespace {

constexpr std::uint64_t kGiB = 1ULL << 30;

TEST(MemoryBudget, adds_up_fixed_terms_and_charges) {
  MemoryBudget budget(1'000);
  budget.add_fixed("workers", 300);
  budget.add_fixed("ports", 100);
  EXPECT_TRUE(budget.try_charge(MemoryUse::kChannels, 50));
  EXPECT_EQ(budget.fixed_bytes(), 400u);
  EXPECT_EQ(budget.used_bytes(), 450u);
  EXPECT_EQ(budget.dynamic_bytes(), 600u);
}

TEST(MemoryBudget, refuses_what_has_no_room_and_charges_nothing) {
  MemoryBudget budget(1'000);
  budget.add_fixed("workers", 400);
  EXPECT_TRUE(budget.try_charge(MemoryUse::kExtentFiles, 600));
  EXPECT_FALSE(budget.try_charge(MemoryUse::kSessions, 1));
  EXPECT_EQ(budget.used_bytes(), 1'000u);
  budget.give_back(MemoryUse::kExtentFiles, 600);
  EXPECT_TRUE(budget.try_charge(MemoryUse::kSessions, 600));
}

TEST(MemoryBudget, a_huge_charge_does_not_wrap_around) {
  MemoryBudget budget(1'000);
  EXPECT_TRUE(budget.try_charge(MemoryUse::kChannels, 1));
  EXPECT_FALSE(budget.try_charge(MemoryUse::kChannels, UINT64_MAX));
}

TEST(MemoryBudget, what_exists_already_is_charged_over_the_budget_too) {
  MemoryBudget budget(1'000);
  budget.force_charge(MemoryUse::kExtentFiles, 1'500);
  EXPECT_EQ(budget.used_bytes(), 1'500u);
  EXPECT_FALSE(budget.try_charge(MemoryUse::kChannels, 1));
  budget.give_back(MemoryUse::kExtentFiles, 1'500);
  EXPECT_TRUE(budget.try_charge(MemoryUse::kChannels, 1'000));
}

TEST(MemoryBudget, says_whether_the_fixed_terms_leave_room_and_shows_the_sum) {
  MemoryBudget budget(1'000);
  budget.add_fixed("workers", 700);
  EXPECT_TRUE(budget.fits(300));
  EXPECT_FALSE(budget.fits(301));
  budget.add_fixed("ports", 400);
  EXPECT_FALSE(budget.fits(0));
  EXPECT_EQ(budget.dynamic_bytes(), 0u);
  EXPECT_EQ(budget.sum_text(), "  workers: 700\n  ports: 400\n  sum: 1100 of 1000 bytes");
}

TEST(AutomaticBudget, is_half_of_the_smallest_limit_and_at_most_16_gib) {
  const struct {
    std::uint64_t machine_bytes, cgroup_bytes, expected_bytes;
  } rows[] = {
      {8 * kGiB, UINT64_MAX, 4 * kGiB},      {8 * kGiB, 2 * kGiB, kGiB},
      {64 * kGiB, UINT64_MAX, 16 * kGiB},    {64 * kGiB, 32 * kGiB, 16 * kGiB},
      {64 * kGiB, 31 * kGiB, 31 * kGiB / 2},
  };
  for (const auto& row : rows)
    EXPECT_EQ(automatic_budget_bytes({row.machine_bytes, row.cgroup_bytes}), row.expected_bytes);
}

class MachineMemoryTest : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = folder_.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void given_meminfo() const {
    write("/proc/meminfo", "MemFree: 5 kB\nMemTotal:       8388608 kB\nBuffers: 1 kB\n");
  }
  [[nodiscard]] MachineMemory read() const { return read_machine_memory(folder_.path()); }

  ScratchFolder folder_;
};

TEST_F(MachineMemoryTest, reads_the_machine_and_finds_no_limit) {
  given_meminfo();
  write("/proc/self/cgroup", "0::/\n");
  EXPECT_EQ(read().machine_bytes, 8 * kGiB);
  EXPECT_EQ(read().cgroup_bytes, UINT64_MAX);
}

TEST_F(MachineMemoryTest, takes_the_smallest_limit_up_the_version_2_tree) {
  given_meminfo();
  write("/proc/self/cgroup", "0::/system.slice/ringwire.service\n");
  write("/sys/fs/cgroup/system.slice/ringwire.service/memory.max", "max\n");
  write("/sys/fs/cgroup/system.slice/memory.max", "1073741824\n");
  EXPECT_EQ(read().cgroup_bytes, kGiB);
}

TEST_F(MachineMemoryTest, reads_the_limit_of_version_1) {
  given_meminfo();
  write("/proc/self/cgroup", "5:cpu,cpuacct:/other\n4:memory:/docker/x\n");
  write("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "2147483648\n");
  EXPECT_EQ(read().cgroup_bytes, 2 * kGiB);
}

TEST_F(MachineMemoryTest, without_any_file_there_is_no_memory) {
  EXPECT_EQ(read().machine_bytes, 0u);
  EXPECT_EQ(automatic_budget_bytes(read()), 0u);
}

}  // namespace
}  // namespace ringwire::node
