#include "ring/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "base/bytes.h"

namespace ringwire::ring {
namespace {

Member member(std::string name, std::uint32_t weight = kUnitWeight, std::string zone = "") {
  Member result;
  result.name = std::move(name);
  result.weight = weight;
  result.zone = std::move(zone);
  return result;
}

std::vector<Member> ring_of(std::size_t count) {
  std::vector<Member> members;
  for (std::size_t index = 0; index < count; ++index)
    members.push_back(member("node-" + std::to_string(index)));
  return members;
}

View build(const std::vector<Member>& members, std::uint32_t secondaries = 0) {
  auto view = build_view({.epoch = 7, .secondaries = secondaries, .members = members});
  EXPECT_TRUE(view.ok());
  return std::move(view).value();
}

std::string_view owner_of(const View& view, std::uint32_t slot) {
  return view.members[view.replicas_of(slot)[0]].name;
}

std::map<std::string, std::uint32_t, std::less<>> loads_of(const View& view) {
  std::map<std::string, std::uint32_t, std::less<>> loads;
  for (const Member& one : view.members) loads[one.name] = 0;
  for (std::uint32_t slot = 0; slot < kSlotCount; ++slot)
    ++loads.find(owner_of(view, slot))->second;
  return loads;
}

struct Moves {
  std::uint32_t to_newcomer = 0;
  std::uint32_t between_others = 0;
};

Moves count_moves(const View& before, const View& after, std::string_view newcomer) {
  Moves moves;
  for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
    if (owner_of(before, slot) == owner_of(after, slot)) continue;
    ++(owner_of(after, slot) == newcomer ? moves.to_newcomer : moves.between_others);
  }
  return moves;
}

PlacementError error_of(const PlacementInput& input) {
  auto view = build_view(input);
  EXPECT_FALSE(view.ok());
  return view.error();
}

TEST(Placement, negative_log2_is_exact_at_powers_and_near_elsewhere) {
  EXPECT_EQ(negative_log2(std::uint64_t{1} << 63), std::uint64_t{1} << 32);
  EXPECT_EQ(negative_log2(std::uint64_t{1} << 60), std::uint64_t{4} << 32);
  EXPECT_EQ(negative_log2(1), std::uint64_t{64} << 32);
  EXPECT_EQ(negative_log2(0), negative_log2(1));
  std::mt19937_64 random(1);
  for (int round = 0; round < 10'000; ++round) {
    const std::uint64_t hash = (random() >> random() % 60) | 1;
    const double expected = 64.0 - std::log2(static_cast<double>(hash));
    EXPECT_NEAR(static_cast<double>(negative_log2(hash)) * 0x1p-32, expected, 0x1p-22) << hash;
  }
}

// Written out: a change here is a new kPlacementVersion.
TEST(Placement, table_of_a_fixed_list_has_a_fixed_digest) {
  const std::vector<Member> members = {member("a", kUnitWeight, "rack-1"),
                                       member("b", 2 * kUnitWeight, "rack-1"),
                                       member("c", kUnitWeight / 2, "rack-2"), member("d")};
  const View view = build(members, 2);
  EXPECT_EQ(kPlacementVersion, 1U);
  EXPECT_EQ(view.digest, 0x1b98f5344917ec64ULL);
  EXPECT_EQ(members_digest(members), 0x796394ac39cc3defULL);
  EXPECT_EQ(build(ring_of(100), 2).digest, 0x267a6098d9f72fc5ULL);
}

TEST(Placement, order_of_the_list_does_not_matter) {
  std::vector<Member> members = ring_of(20);
  members[3].zone = "east";
  members[9].weight = 3 * kUnitWeight;
  const View sorted = build(members, 2);
  std::mt19937_64 random(2);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t index = members.size(); index-- > 1;)
      std::swap(members[index], members[random() % (index + 1)]);
    const View shuffled = build(members, 2);
    EXPECT_EQ(shuffled.table, sorted.table);
    EXPECT_EQ(shuffled.digest, sorted.digest);
    EXPECT_EQ(members_digest(members), members_digest(sorted.members));
  }
}

// M-1: who is alive does not matter, nor the view.
TEST(Placement, state_node_index_and_epoch_do_not_matter_but_weight_and_zone_do) {
  std::vector<Member> members = ring_of(4);
  const View plain = build(members, 1);
  members[1].state = MemberState::kSuspended;
  members[2].node_index = 99;
  const View suspended = build(members, 1);
  EXPECT_EQ(suspended.table, plain.table);
  EXPECT_EQ(suspended.digest, plain.digest);
  members[1].weight += 1;
  EXPECT_NE(build(members, 1).digest, plain.digest);
  members[1].weight -= 1;
  members[1].zone = "z";
  EXPECT_NE(build(members, 1).digest, plain.digest);
}

TEST(Placement, agrees_with_naive_weighted_rendezvous_while_no_bound_is_reached) {
  const std::vector<Member> members = {member("a"), member("b", 2 * kUnitWeight), member("c"),
                                       member("d", kUnitWeight / 2)};
  const View view = build(members, 3);
  std::uint32_t differing = 0;
  for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
    std::vector<std::pair<double, MemberIndex>> naive;
    for (MemberIndex index = 0; index < 4; ++index) {
      const std::uint64_t draw =
          mix64(key_hash(as_bytes(members[index].name)) ^ mix64(slot + 0x9e3779b97f4a7c15ULL));
      naive.emplace_back(-std::log(static_cast<double>(draw) * 0x1p-64) / members[index].weight,
                         index);
    }
    std::sort(naive.begin(), naive.end());
    for (std::size_t rank = 0; rank < 4; ++rank)
      if (naive[rank].second != view.replicas_of(slot)[rank]) {
        ++differing;
        break;
      }
  }
  EXPECT_LE(differing, 2U);  // near ties, decided by rounding of the naive one
}

// The characterisation of the bounded placement: nobody is over its bound, and a member that a slot
// would rather have is full of slots that it would rather have.
TEST(Placement, bounded_load_holds_and_the_matching_is_stable) {
  for (const std::size_t count : {2U, 7U, 100U}) {
    std::vector<Member> members = ring_of(count);
    members[0].weight = 2 * kUnitWeight;
    const View view = build(members);
    std::uint64_t weights_sum = 0;
    for (const Member& one : view.members) weights_sum += one.weight;
    std::vector<std::uint64_t> hashes;
    for (const Member& one : view.members) hashes.push_back(key_hash(as_bytes(one.name)));
    std::vector<std::uint32_t> loads(count, 0);
    std::vector<std::uint64_t> worst(count, 0);
    for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
      const MemberIndex owner = view.replicas_of(slot)[0];
      ++loads[owner];
      worst[owner] =
          std::max(worst[owner], placement_score(hashes[owner], slot, view.members[owner].weight));
    }
    for (std::size_t index = 0; index < count; ++index)
      EXPECT_LE(loads[index], slots_bound(view.members[index].weight, weights_sum));
    std::uint32_t blocking = 0;
    for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
      const MemberIndex owner = view.replicas_of(slot)[0];
      const std::uint64_t own = placement_score(hashes[owner], slot, view.members[owner].weight);
      for (std::size_t index = 0; index < count; ++index) {
        const std::uint64_t score =
            placement_score(hashes[index], slot, view.members[index].weight);
        const bool full = loads[index] == slots_bound(view.members[index].weight, weights_sum);
        if (score < own && !(full && worst[index] < score)) ++blocking;
      }
    }
    EXPECT_EQ(blocking, 0U) << count << " members";
    if (count == 100) {
      EXPECT_GT(std::count(loads.begin(), loads.end(), slots_bound(kUnitWeight, weights_sum)), 0)
          << "no member is full: this case shows nothing";
    }
  }
}

TEST(Placement, slots_bound_is_a_twentieth_above_the_share_rounded_up) {
  EXPECT_EQ(slots_bound(kUnitWeight, kUnitWeight), kSlotCount);
  EXPECT_EQ(slots_bound(kUnitWeight, 2 * kUnitWeight), 34'407U);   // 32,768 * 1.05 = 34,406.4
  EXPECT_EQ(slots_bound(kUnitWeight, 1'000 * kUnitWeight), 69U);   // 65.536 * 1.05 = 68.8
  EXPECT_EQ(slots_bound(kMaxWeight, 1'024ULL * kMaxWeight), 68U);  // 64 * 1.05 = 67.2
}

TEST(Placement, weights_are_respected_within_three_percent) {
  const View view = build({member("a"), member("b", 2 * kUnitWeight), member("c", kUnitWeight / 2),
                           member("d", 4 * kUnitWeight)});
  const auto loads = loads_of(view);
  const double unit = kSlotCount / 7.5;
  EXPECT_NEAR(loads.at("a"), unit, 0.03 * unit);
  EXPECT_NEAR(loads.at("b"), 2 * unit, 0.03 * 2 * unit);
  EXPECT_NEAR(loads.at("c"), unit / 2, 0.03 * unit / 2);
  EXPECT_NEAR(loads.at("d"), 4 * unit, 0.03 * 4 * unit);
}

TEST(Placement, a_join_moves_its_share_to_the_newcomer_and_nothing_else_in_small_rings) {
  for (const std::size_t count : {1U, 2U, 3U, 10U, 30U}) {
    const std::vector<Member> before = ring_of(count);
    std::vector<Member> after = before;
    after.push_back(member("newcomer"));
    const Moves moves = count_moves(build(before), build(after), "newcomer");
    const double share = static_cast<double>(kSlotCount) / static_cast<double>(count + 1);
    EXPECT_NEAR(moves.to_newcomer, share, 0.05 * share) << count;
    // Read backwards this is the leave of the newcomer.
    EXPECT_LE(moves.between_others, kSlotCount / 200) << count;
    if (count <= 10) {
      EXPECT_EQ(moves.between_others, 0U) << count;
    }
  }
}

TEST(Placement, a_join_to_a_large_ring_moves_between_others_only_a_little) {
  const std::vector<Member> before = ring_of(100);
  std::vector<Member> after = before;
  after.push_back(member("newcomer"));
  const Moves moves = count_moves(build(before), build(after), "newcomer");
  EXPECT_NEAR(moves.to_newcomer, kSlotCount / 101.0, 0.06 * kSlotCount / 101.0);
  EXPECT_GT(moves.between_others, 0U);  // else this ring is too small to show what the bound costs
  EXPECT_LE(moves.between_others, 4 * moves.to_newcomer);
}

TEST(Placement, secondaries_survive_the_owner_that_leaves) {
  std::vector<Member> members = ring_of(5);
  const View before = build(members, 1);
  members.erase(members.begin() + 2);
  const View after = build(members, 0);
  for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
    if (owner_of(before, slot) != "node-2") continue;
    const std::string& next = before.members[before.replicas_of(slot)[1]].name;
    EXPECT_EQ(owner_of(after, slot), next);
  }
}

TEST(Placement, replicas_are_distinct_members) {
  const View view = build(ring_of(6), 3);
  for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
    std::vector<MemberIndex> replicas(view.replicas_of(slot).begin(), view.replicas_of(slot).end());
    ASSERT_EQ(replicas.size(), 4U);
    std::sort(replicas.begin(), replicas.end());
    ASSERT_EQ(std::adjacent_find(replicas.begin(), replicas.end()), replicas.end()) << slot;
  }
}

TEST(Placement, replicas_lie_in_different_zones_while_there_are_zones_left) {
  const View view =
      build({member("a", kUnitWeight, "x"), member("b", kUnitWeight, "x"),
             member("c", kUnitWeight, "x"), member("d", kUnitWeight, "y"), member("e")},
            3);
  for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
    const auto replicas = view.replicas_of(slot);
    std::uint32_t in_x = 0;
    for (const MemberIndex index : replicas.first(3)) in_x += view.members[index].zone == "x";
    ASSERT_EQ(in_x, 1U) << slot;  // x, y and the zone of e, in some order
    ASSERT_EQ(view.members[replicas[3]].zone, "x") << slot;
  }
}

TEST(Placement, a_ring_smaller_than_its_replicas_holds_as_many_as_it_can) {
  EXPECT_EQ(build(ring_of(2), 5).replicas_count, 2U);
  EXPECT_EQ(build(ring_of(1), 0).replicas_of(kSlotCount - 1).size(), 1U);
}

TEST(Placement, a_random_cluster_has_members_but_no_table) {
  const std::vector<Member> members = ring_of(3);
  const auto view = build_view({.type = ClusterType::kRandom, .members = members});
  ASSERT_TRUE(view.ok());
  EXPECT_TRUE(view.value().replicas_of(0).empty());
  EXPECT_NE(view.value().digest, build(members).digest);
}

TEST(Placement, finds_members_by_name) {
  const View view = build(ring_of(12));
  ASSERT_TRUE(view.find_member("node-11").has_value());
  EXPECT_EQ(view.members[*view.find_member("node-11")].name, "node-11");
  EXPECT_FALSE(view.find_member("node-12").has_value());
  EXPECT_FALSE(view.find_member("").has_value());
}

TEST(Placement, refuses_each_bad_input_with_its_reason) {
  const auto with = [](const std::vector<Member>& members) {
    return error_of({.members = members});
  };
  EXPECT_EQ(with({}), PlacementError::kNoMembers);
  EXPECT_EQ(with(ring_of(kMaxMembers + 1)), PlacementError::kTooManyMembers);
  EXPECT_EQ(with({member("")}), PlacementError::kBadName);
  EXPECT_EQ(with({member(std::string(64, 'x'))}), PlacementError::kBadName);
  EXPECT_EQ(with({member("a"), member("b"), member("a")}), PlacementError::kDuplicateName);
  EXPECT_EQ(with({member("a", kMinWeight - 1)}), PlacementError::kBadWeight);
  EXPECT_EQ(with({member("a", kMaxWeight + 1)}), PlacementError::kBadWeight);
  const std::vector<Member> one = ring_of(1);
  EXPECT_EQ(error_of({.type = ClusterType::kRandom, .secondaries = 1, .members = one}),
            PlacementError::kSecondariesWithRandom);
}

}  // namespace
}  // namespace ringwire::ring
