// One immutable state of the ring: who the members are and, for a hash cluster, which members hold
// each slot, in order of rank. Built by ring/placement on a helper thread, published whole, then
// only read: any thread, look-ups are O(1) and hot. It does not know who is alive (ring/detector)
// nor how a target is chosen (engine/worker/outbound).
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/hash.h"

namespace ringwire::ring {

/// Members of one view. 1,024: each still owns 64 slots, and an index fits 16 bits with room.
inline constexpr std::size_t kMaxMembers = 1'024;

/// Weights are fixed-point with 16 fraction bits, so that all machines compute alike.
inline constexpr std::uint32_t kUnitWeight = 1U << 16;
/// 1/256 to 1,024 in weight: outside, a slot table of 65,536 cannot honour the ratio anyway.
inline constexpr std::uint32_t kMinWeight = kUnitWeight / 256;
inline constexpr std::uint32_t kMaxWeight = kUnitWeight * 1'024;

enum class ClusterType : std::uint8_t { kHash = 0, kRandom = 1 };

/// What the view says of a member; what this node sees of it itself is Liveness.
enum class MemberState : std::uint8_t {
  kServing = 0,
  kSuspended = 1,
  kReturning = 2,
  kJoining = 3,
  kLeaving = 4,
};

/// Index of a member in View::members, which is sorted by name: the same on all nodes.
using MemberIndex = std::uint16_t;

struct Member {
  std::string name;
  std::uint32_t node_index = 0;  ///< this engine's own number for the peer; not part of the digest
  std::uint32_t weight = kUnitWeight;  ///< kMinWeight .. kMaxWeight
  std::string zone;                    ///< empty: a zone of its own
  MemberState state = MemberState::kServing;
};

struct View {
  std::uint64_t epoch = 0;
  std::uint32_t algorithm_version = 0;
  std::uint64_t digest = 0;  ///< of everything that decides placement, and of the table itself
  ClusterType type = ClusterType::kHash;
  std::uint32_t secondaries = 0;     ///< as configured; a small ring holds fewer replicas
  std::uint32_t replicas_count = 0;  ///< per slot in `table`: min(1 + secondaries, members)
  std::vector<Member> members;       ///< sorted by name, names unique
  std::vector<MemberIndex> table;    ///< kSlotCount x replicas_count; empty for a random cluster

  /// The members that hold `slot` (< kSlotCount), the owner first. Empty for a random cluster.
  [[nodiscard]] std::span<const MemberIndex> replicas_of(std::uint32_t slot) const {
    RW_DCHECK(slot < kSlotCount);
    if (table.empty()) return {};
    return std::span(table).subspan(std::size_t{slot} * replicas_count, replicas_count);
  }

  /// The member of that name. O(log members).
  [[nodiscard]] std::optional<MemberIndex> find_member(std::string_view name) const {
    const auto at = std::lower_bound(
        members.begin(), members.end(), name,
        [](const Member& member, std::string_view wanted) { return member.name < wanted; });
    if (at == members.end() || at->name != name) return std::nullopt;
    return static_cast<MemberIndex>(at - members.begin());
  }
};

}  // namespace ringwire::ring
