#include "engine/node/user_shares.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringwire::node {
namespace {

constexpr UserId kOne = 1'000;
constexpr UserId kTwo = 1'001;
constexpr UserId kStranger = 7;

UserShares half_kept(std::uint64_t capacity) {
  const std::vector<UserId> users = {kOne, kTwo};
  return UserShares({capacity, even_parts(users, capacity / 2)});
}

TEST(UserShares, one_user_alone_gets_all_that_is_not_kept_for_another) {
  UserShares shares = half_kept(100);
  EXPECT_TRUE(shares.try_take(kOne, 75));
  EXPECT_FALSE(shares.try_take(kOne, 1)) << "25 are the other's";
  EXPECT_TRUE(shares.try_take(kTwo, 25));
  EXPECT_FALSE(shares.try_take(kTwo, 1)) << "all is taken";
}

TEST(UserShares, two_that_take_all_they_can_leave_a_third_its_part) {
  const std::vector<UserId> users = {kOne, kTwo, 1'002};
  UserShares shares({90, even_parts(users, 45)});
  std::uint64_t taken = 0;
  while (shares.try_take(kOne, 1)) ++taken;
  while (shares.try_take(kTwo, 1)) ++taken;
  EXPECT_EQ(taken, 75u);
  EXPECT_TRUE(shares.try_take(1'002, 15));
}

TEST(UserShares, what_comes_back_can_be_taken_again_by_anyone) {
  UserShares shares = half_kept(100);
  ASSERT_TRUE(shares.try_take(kOne, 75));
  ASSERT_FALSE(shares.try_take(kTwo, 26));
  shares.give_back(kOne, 50);
  EXPECT_EQ(shares.used(kOne), 25u);
  EXPECT_TRUE(shares.try_take(kTwo, 75));
  EXPECT_FALSE(shares.try_take(kOne, 1));
}

TEST(UserShares, who_is_not_known_has_only_what_is_kept_for_nobody) {
  UserShares shares = half_kept(100);
  EXPECT_FALSE(shares.try_take(kStranger, 51));
  EXPECT_TRUE(shares.try_take(kStranger, 50));
  EXPECT_TRUE(shares.try_take(kOne, 25));
  EXPECT_FALSE(shares.try_take(kOne, 1));
}

TEST(UserShares, absurd_amounts_are_refused) {
  UserShares shares = half_kept(100);
  EXPECT_FALSE(shares.try_take(kOne, UINT64_MAX));
  ASSERT_TRUE(shares.try_take(kOne, 1));
  EXPECT_FALSE(shares.try_take(kOne, UINT64_MAX));
}

TEST(UserShares, one_that_is_named_twice_counts_once) {
  const std::vector<UserId> users = {kOne, kOne};
  EXPECT_EQ(even_parts(users, 10), (std::map<UserId, std::uint64_t>{{kOne, 10}}));
}

TEST(UserShares, what_is_taken_by_force_counts_and_never_underflows) {
  UserShares shares({100, {{1, 10}, {2, 10}}});
  EXPECT_EQ(shares.most(1), 90U);
  EXPECT_EQ(shares.most(3), 80U);
  shares.force_take(1, 95);
  EXPECT_FALSE(shares.try_take(1, 1));
  EXPECT_FALSE(shares.try_take(3, 1)) << "all that is nobody's is taken, and more";
  EXPECT_TRUE(shares.try_take(2, 10)) << "its own";
  EXPECT_FALSE(shares.try_take(2, 1));
  shares.give_back(1, 95);
  EXPECT_TRUE(shares.try_take(3, 80));
}

}  // namespace
}  // namespace ringwire::node
