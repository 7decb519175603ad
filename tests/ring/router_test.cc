#include "ring/router.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "ring/placement.h"

namespace ringwire::ring {
namespace {

// Members a .. e (indices 0 .. 4), all up.
struct World {
  View view;
  std::vector<MemberHealth> health;
  std::optional<MemberIndex> self;
  SelfRule self_rule = SelfRule::kInclude;
  std::array<RouteTarget, kMaxMembers> targets{};

  explicit World(ClusterType type = ClusterType::kHash, std::uint32_t secondaries = 2) {
    std::vector<Member> members(5);
    for (std::size_t index = 0; index < 5; ++index)
      members[index].name = std::string(1, static_cast<char>('a' + index));
    if (type == ClusterType::kRandom) secondaries = 0;
    view = build_view({.type = type, .secondaries = secondaries, .members = members}).value();
    health.assign(5, MemberHealth{Liveness::kUp, NodeService::kServing});
  }

  RouteContext context() const { return {view, health, self, self_rule}; }
};

std::string names(std::span<const RouteTarget> targets) {
  std::string text;
  for (const RouteTarget& target : targets) {
    text += static_cast<char>('a' + target.member);
    if (!target.usable) text += '!';
  }
  return text;
}

TEST(Router, a_slot_goes_to_its_first_replica_that_is_usable) {
  World world;
  const auto replicas = world.view.replicas_of(77);
  EXPECT_EQ(route_slot(world.context(), 77), replicas[0]);
  world.health[replicas[0]].liveness = Liveness::kSuspect;
  EXPECT_EQ(route_slot(world.context(), 77), replicas[1]);
  world.health[replicas[1]].service = NodeService::kSuspended;
  EXPECT_EQ(route_slot(world.context(), 77), replicas[2]);
  world.health[replicas[2]].liveness = Liveness::kDead;
  EXPECT_EQ(route_slot(world.context(), 77), std::nullopt);
  world.health[replicas[0]].liveness = Liveness::kUp;
  EXPECT_EQ(route_slot(world.context(), 77), replicas[0]);
}

TEST(Router, a_member_that_the_view_suspends_is_passed_over) {
  World world;
  const MemberIndex owner = world.view.replicas_of(5)[0];
  for (const MemberState state : {MemberState::kSuspended, MemberState::kReturning,
                                  MemberState::kJoining, MemberState::kLeaving}) {
    world.view.members[owner].state = state;
    EXPECT_NE(route_slot(world.context(), 5), owner);
  }
}

TEST(Router, excludes_oneself_only_when_asked) {
  World world;
  const auto replicas = world.view.replicas_of(9);
  world.self = replicas[0];
  EXPECT_EQ(route_slot(world.context(), 9), replicas[0]);
  world.self_rule = SelfRule::kExclude;
  EXPECT_EQ(route_slot(world.context(), 9), replicas[1]);
  EXPECT_EQ(route_replicas(world.context(), 9, world.targets), 2U);
  EXPECT_EQ(route_broadcast(world.context(), world.targets), 4U);
  world.self.reset();  // a slave
  EXPECT_EQ(route_broadcast(world.context(), world.targets), 5U);
}

TEST(Router, broadcast_names_all_members_and_marks_the_unusable) {
  World world;
  world.health[1].liveness = Liveness::kDead;
  world.health[3].service = NodeService::kSuspended;
  const std::size_t count = route_broadcast(world.context(), world.targets);
  EXPECT_EQ(names(std::span(world.targets).first(count)), "ab!cd!e");
}

TEST(Router, replicas_come_in_rank_order_and_are_marked) {
  World world;
  const auto replicas = world.view.replicas_of(1'000);
  world.health[replicas[1]].liveness = Liveness::kSuspect;
  ASSERT_EQ(route_replicas(world.context(), 1'000, world.targets), 3U);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(world.targets[rank].member, replicas[rank]);
    EXPECT_EQ(world.targets[rank].usable, rank != 1);
  }
}

TEST(Router, never_writes_more_targets_than_there_is_room) {
  World world;
  std::array<RouteTarget, 2> two{};
  EXPECT_EQ(route_broadcast(world.context(), two), 2U);
  EXPECT_EQ(route_replicas(world.context(), 0, std::span(two).first(1)), 1U);
}

TEST(Router, random_goes_round_the_usable_members) {
  World world(ClusterType::kRandom);
  world.health[2].liveness = Liveness::kSuspect;
  Router router;
  std::string seen;
  for (int round = 0; round < 8; ++round)
    seen += static_cast<char>('a' + router.route_random(world.context(), {}).value());
  EXPECT_EQ(seen, "abdeabde");
  EXPECT_EQ(route_slot(world.context(), 3), std::nullopt);  // no table: nobody owns a slot
}

TEST(Router, random_skips_what_was_tried_until_none_is_left) {
  World world(ClusterType::kRandom);
  Router router(3);
  std::vector<MemberIndex> tried;
  std::string seen;
  while (const auto member = router.route_random(world.context(), tried)) {
    tried.push_back(*member);
    seen += static_cast<char>('a' + *member);
    ASSERT_LE(tried.size(), 5U);
  }
  EXPECT_EQ(seen, "deabc");
}

TEST(Router, random_survives_a_view_that_shrank_below_its_cursor) {
  World world(ClusterType::kRandom);
  Router router(4'000'000'001);
  EXPECT_TRUE(router.route_random(world.context(), {}).has_value());
  world.view.members.clear();
  world.health.clear();
  EXPECT_EQ(router.route_random(world.context(), {}), std::nullopt);
}

}  // namespace
}  // namespace ringwire::ring
