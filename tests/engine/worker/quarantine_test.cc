#include "engine/worker/quarantine.h"

#include <gtest/gtest.h>

namespace ringwire::worker {
namespace {

class QuarantineTest : public testing::Test {
 protected:
  static ipc::Extent extent(std::uint32_t file) {
    static std::byte memory{};
    return {&memory, 1, 0, file, 0, 0};
  }
  std::vector<std::uint32_t> freed;
  Quarantine quarantine{[this](const HeldMemory& gone) { freed.push_back(gone.extent.file); }};
};

TEST_F(QuarantineTest, keeps_nothing_that_was_not_lent) {
  EXPECT_TRUE(quarantine.empty());
  EXPECT_FALSE(quarantine.keep(1, {0, extent(7)}));
  EXPECT_FALSE(quarantine.come_back(3, 1));
}

TEST_F(QuarantineTest, keeps_memory_until_every_reader_released_it) {
  quarantine.lend(3, 1);
  quarantine.lend(4, 1);
  EXPECT_TRUE(quarantine.keep(1, {0, extent(7)}));
  EXPECT_TRUE(quarantine.keep(1, {0, extent(8)}));
  EXPECT_TRUE(quarantine.come_back(3, 1));
  EXPECT_FALSE(quarantine.come_back(3, 1)) << "released twice";
  EXPECT_TRUE(freed.empty());
  EXPECT_TRUE(quarantine.come_back(4, 1));
  EXPECT_EQ(freed, (std::vector<std::uint32_t>{7, 8}));
  EXPECT_TRUE(quarantine.empty());
}

TEST_F(QuarantineTest, a_message_that_comes_back_before_its_end_is_its_own_again) {
  quarantine.lend(3, 1);
  EXPECT_TRUE(quarantine.come_back(3, 1));
  EXPECT_FALSE(quarantine.keep(1, {0, extent(7)}));
  EXPECT_TRUE(freed.empty());
}

TEST_F(QuarantineTest, a_program_that_is_gone_reads_no_more) {
  quarantine.lend(3, 1);
  quarantine.lend(3, 2);
  quarantine.lend(4, 2);
  EXPECT_TRUE(quarantine.keep(1, {0, extent(7)}));
  EXPECT_TRUE(quarantine.keep(2, {0, extent(8)}));
  quarantine.forget(3);
  EXPECT_EQ(freed, std::vector<std::uint32_t>{7});
  quarantine.forget(4);
  EXPECT_EQ(freed, (std::vector<std::uint32_t>{7, 8}));
}

TEST_F(QuarantineTest, one_program_owes_a_release_for_each_delivery) {
  quarantine.lend(3, 1);
  quarantine.lend(3, 1);
  EXPECT_TRUE(quarantine.keep(1, {0, extent(7)}));
  EXPECT_TRUE(quarantine.come_back(3, 1));
  EXPECT_TRUE(freed.empty());
  EXPECT_TRUE(quarantine.come_back(3, 1));
  EXPECT_EQ(freed.size(), 1u);
}

}  // namespace
}  // namespace ringwire::worker
