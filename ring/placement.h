// Who owns a slot: a pure function of the members' names, weights and zones, and of nothing else:
// not of the order they are listed in, not of who is alive. Control plane only; allocates.
//
// Method. Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as in Schindelhauer and
// Schomaker 2005): each member draws u = hash(member, slot) / 2^64 and scores -log2(u) / weight;
// the lowest score wins a slot, which gives each member its weighted share, and when a member comes
// or goes only its own share moves. Load is bounded as in "Consistent Hashing with Bounded Loads"
// (Mirrokni, Thorup, Zadimoghaddam 2018), but with ties resolved by deferred acceptance (Gale and
// Shapley 1962) and not by order of arrival: a full member keeps the slots that it scores lowest,
// the others go on to their next choice. The outcome is unique, thus the same on all nodes.
// Everything is integer arithmetic: the logarithm comes from a table that is itself computed by
// repeated squaring of integers, since floating point may differ between machines.
//
// Secondaries follow the slot's own order of scores, each in a zone not yet used by that slot as
// long as there is one. They are not bounded.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "ring/view.h"

namespace ringwire::ring {

/// Raised whenever any input could give another table. Nodes of different versions refuse each
/// other instead of disagreeing about owners.
inline constexpr std::uint32_t kPlacementVersion = 1;

/// No member owns more than ceil(share x 21/20) slots. 5 %: a ring of up to 40 members practically
/// never reaches it (one standard deviation of its natural share is then below 2.5 %), so there
/// exactly the newcomer's share moves; larger rings pay some moves for the even load.
inline constexpr std::uint64_t kLoadBoundNumerator = 21;
inline constexpr std::uint64_t kLoadBoundDenominator = 20;

enum class PlacementError : std::uint8_t {
  kNoMembers,
  kTooManyMembers,  ///< more than kMaxMembers
  kBadName,         ///< empty, or longer than kMaxNameBytes
  kDuplicateName,
  kBadWeight,              ///< outside kMinWeight .. kMaxWeight
  kSecondariesWithRandom,  ///< a random cluster has no replicas
};

struct PlacementInput {
  std::uint64_t epoch = 0;
  ClusterType type = ClusterType::kHash;
  std::uint32_t secondaries = 0;
  std::span<const Member> members;
};

/// Build the view of these members. Cost: O(members x slots): 3 members x 3 replicas 17 ms, 1,000
/// members 1.4 s (g++ 12 -O2, Zen 4 VM); never on a worker.
[[nodiscard]] Result<View, PlacementError> build_view(const PlacementInput& input);

/// Digest of names, weights and zones alone, in any order: what two nodes compare first.
[[nodiscard]] std::uint64_t members_digest(std::span<const Member> members);

/// Most slots that a member of this weight may own, of a ring with this sum of weights (> 0).
[[nodiscard]] constexpr std::uint32_t slots_bound(std::uint32_t weight, std::uint64_t weights_sum) {
  const std::uint64_t numerator = std::uint64_t{weight} * kSlotCount * kLoadBoundNumerator;
  const std::uint64_t denominator = weights_sum * kLoadBoundDenominator;
  const std::uint64_t bound = (numerator + denominator - 1) / denominator;
  return static_cast<std::uint32_t>(bound < kSlotCount ? bound : kSlotCount);
}

/// -log2(hash / 2^64) with 32 fraction bits, exact to about 2^-22; hash 0 counts as 1.
[[nodiscard]] std::uint64_t negative_log2(std::uint64_t hash);

/// Score of a member for a slot; the lowest wins. `member_hash` = key_hash of the member's name.
[[nodiscard]] std::uint64_t placement_score(std::uint64_t member_hash, std::uint32_t slot,
                                            std::uint32_t weight);

}  // namespace ringwire::ring
