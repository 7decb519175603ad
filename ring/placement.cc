#include "ring/placement.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/mutant.h"

namespace ringwire::ring {
namespace {

__extension__ using Wide = unsigned __int128;  // not ISO C++; both compilers of ours have it

constexpr unsigned kLogIndexBits = 10;
constexpr std::size_t kLogEntries = std::size_t{1} << kLogIndexBits;

// log2(1 + index / kLogEntries) with 32 fraction bits, digit by digit: squaring a mantissa doubles
// its logarithm, so each squaring that reaches 2 yields a one bit.
constexpr std::uint64_t log2_of_entry(std::size_t index) {
  std::uint64_t mantissa = (std::uint64_t{kLogEntries} + index) << (62 - kLogIndexBits);
  std::uint64_t fraction = 0;
  for (int digit = 31; digit >= 0; --digit) {
    const auto square = static_cast<Wide>(mantissa) * mantissa;
    mantissa = static_cast<std::uint64_t>(square >> 62);
    if (mantissa >= (std::uint64_t{1} << 63)) {
      fraction |= std::uint64_t{1} << digit;
      mantissa >>= 1;
    }
  }
  return fraction;
}

constexpr std::array<std::uint64_t, kLogEntries + 1> make_log_table() {
  std::array<std::uint64_t, kLogEntries + 1> table{};
  for (std::size_t index = 0; index < kLogEntries; ++index) table[index] = log2_of_entry(index);
  table[kLogEntries] = std::uint64_t{1} << 32;
  return table;
}

constexpr std::array<std::uint64_t, kLogEntries + 1> kLogTable = make_log_table();

constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();

struct Choice {
  std::uint64_t score = 0;
  std::uint32_t member = kNobody;
  // Equal scores are settled by member index, that is by name.
  auto operator<=>(const Choice&) const = default;
};

struct Held {
  std::uint64_t score = 0;
  std::uint32_t slot = 0;
  auto operator<=>(const Held&) const = default;
};

// Places primaries by deferred acceptance. Slots propose in their own order of scores.
class Matching {
 public:
  explicit Matching(std::span<const Member> members) : members_(members) {
    hashes_.reserve(members.size());
    for (const Member& member : members) hashes_.push_back(key_hash(as_bytes(member.name)));
    std::uint64_t weights_sum = 0;
    for (const Member& member : members) weights_sum += member.weight;
    for (const Member& member : members) bounds_.push_back(slots_bound(member.weight, weights_sum));
    held_.resize(members.size());
    remember_first_choices();
  }

  // The owner of each slot. Each slot asks each member at most once, and the bounds sum up to at
  // least all slots, so every slot finds its member.
  std::vector<std::uint32_t> solve() {
    for (std::uint32_t first = 0; first < kSlotCount; ++first)
      for (std::uint32_t slot = first; slot != kNobody;) slot = propose(slot);
    std::vector<std::uint32_t> owners(kSlotCount);
    for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) owners[slot] = current_[slot].member;
    return owners;
  }

  void score_all(std::uint32_t slot, std::span<std::uint64_t> scores) const {
    for (std::size_t index = 0; index < members_.size(); ++index)
      scores[index] = placement_score(hashes_[index], slot, members_[index].weight);
  }

 private:
  // Few slots ever go past their fourth choice; those scan the members again.
  static constexpr std::size_t kRemembered = 4;

  void remember_first_choices() {
    choices_.resize(kSlotCount);
    current_.resize(kSlotCount);
    asked_.resize(kSlotCount, 0);
    std::vector<std::uint64_t> scores(members_.size());
    for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
      score_all(slot, scores);
      auto& best = choices_[slot];
      best.fill(Choice{std::numeric_limits<std::uint64_t>::max(), kNobody});
      for (std::uint32_t index = 0; index < members_.size(); ++index) {
        const Choice choice{scores[index], index};
        if (!(choice < best.back())) continue;
        std::size_t at = kRemembered - 1;
        for (; at > 0 && choice < best[at - 1]; --at) best[at] = best[at - 1];
        best[at] = choice;
      }
    }
  }

  // The slot's next choice after the one that refused it.
  Choice next_choice(std::uint32_t slot) {
    const std::size_t asked = asked_[slot]++;
    if (asked < kRemembered) return choices_[slot][asked];
    Choice next{std::numeric_limits<std::uint64_t>::max(), kNobody};
    for (std::uint32_t index = 0; index < members_.size(); ++index) {
      const Choice choice{placement_score(hashes_[index], slot, members_[index].weight), index};
      if (current_[slot] < choice && choice < next) next = choice;
    }
    return next;
  }

  // One proposal of `slot`; returns the slot that is left without a member by it, if any.
  std::uint32_t propose(std::uint32_t slot) {
    const Choice choice = next_choice(slot);
    RW_CHECK(choice.member != kNobody);
    current_[slot] = choice;
    std::vector<Held>& held = held_[choice.member];
    held.push_back(Held{choice.score, slot});
    std::push_heap(held.begin(), held.end());
    if (held.size() <= bounds_[choice.member]) return kNobody;
    std::pop_heap(held.begin(), held.end());
    const std::uint32_t left = held.back().slot;
    held.pop_back();
    return left;
  }

  std::span<const Member> members_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> bounds_;
  std::vector<std::vector<Held>> held_;  // per member, a heap with its worst slot on top
  std::vector<std::array<Choice, kRemembered>> choices_;
  std::vector<Choice> current_;
  std::vector<std::uint32_t> asked_;
};

// Members of one zone get one number; a member without a zone is a zone of its own.
std::vector<std::uint32_t> number_zones(std::span<const Member> members) {
  std::vector<std::uint32_t> zones(members.size());
  std::vector<std::uint32_t> order(members.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t left, std::uint32_t right) {
    return members[left].zone < members[right].zone;
  });
  std::uint32_t number = 0;
  for (std::size_t at = 0; at < order.size(); ++at) {
    const std::string& zone = members[order[at]].zone;
    if (at > 0 && (zone.empty() || zone != members[order[at - 1]].zone)) ++number;
    zones[order[at]] = number;
  }
  return zones;
}

// Picks the replicas of one slot behind its owner.
class ReplicaPicker {
 public:
  explicit ReplicaPicker(std::span<const Member> members)
      : zones_(number_zones(members)), scores_(members.size()) {}

  std::span<std::uint64_t> scores() { return scores_; }

  void pick(std::uint32_t owner, std::span<MemberIndex> replicas) const {
    replicas[0] = static_cast<MemberIndex>(owner);
    for (std::size_t count = 1; count < replicas.size(); ++count)
      replicas[count] = next(replicas.first(RW_MUTANT(125) ? count - 1 : count));
  }

 private:
  MemberIndex next(std::span<const MemberIndex> taken) const {
    // First false: the member's zone is new, which beats any score.
    struct Rank {
      bool zone_used = true;
      std::uint64_t score = std::numeric_limits<std::uint64_t>::max();
      std::uint32_t member = kNobody;
      auto operator<=>(const Rank&) const = default;
    };
    Rank best;
    for (std::uint32_t index = 0; index < scores_.size(); ++index) {
      Rank rank{false, scores_[index], index};
      bool is_taken = false;
      for (const MemberIndex other : taken) {
        is_taken = is_taken || other == index;
        rank.zone_used = rank.zone_used || zones_[other] == zones_[index];
      }
      if (!is_taken && rank < best) best = rank;
    }
    RW_CHECK(best.member != kNobody);
    return static_cast<MemberIndex>(best.member);
  }

  std::vector<std::uint32_t> zones_;
  std::vector<std::uint64_t> scores_;
};

template <typename T>
void append(std::vector<std::byte>& bytes, T value) {
  bytes.resize(bytes.size() + sizeof(T));
  store_le(bytes.data() + bytes.size() - sizeof(T), value);
}

void append_text(std::vector<std::byte>& bytes, std::string_view text) {
  append(bytes, static_cast<std::uint32_t>(text.size()));
  const auto raw = as_bytes(text);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

std::uint64_t digest_of(const View& view) {
  std::vector<std::byte> bytes;
  append(bytes, view.algorithm_version);
  append(bytes, static_cast<std::uint8_t>(view.type));
  append(bytes, view.secondaries);
  append(bytes, view.replicas_count);
  append(bytes, members_digest(view.members));
  for (const MemberIndex member : view.table) append(bytes, member);
  return key_hash(bytes);
}

bool by_name(const Member& left, const Member& right) { return left.name < right.name; }

std::optional<PlacementError> find_error(const PlacementInput& input,
                                         std::span<const Member> sorted) {
  if (sorted.empty()) return PlacementError::kNoMembers;
  if (sorted.size() > kMaxMembers) return PlacementError::kTooManyMembers;
  if (input.type == ClusterType::kRandom && input.secondaries != 0)
    return PlacementError::kSecondariesWithRandom;
  for (std::size_t index = 0; index < sorted.size(); ++index) {
    const Member& member = sorted[index];
    if (member.name.empty() || member.name.size() > kMaxNameBytes) return PlacementError::kBadName;
    if (member.weight < kMinWeight || member.weight > kMaxWeight) return PlacementError::kBadWeight;
    if (index > 0 && member.name == sorted[index - 1].name) return PlacementError::kDuplicateName;
  }
  return std::nullopt;
}

}  // namespace

Result<View, PlacementError> build_view(const PlacementInput& input) {
  View view;
  view.members.assign(input.members.begin(), input.members.end());
  std::sort(view.members.begin(), view.members.end(), by_name);
  if (const auto error = find_error(input, view.members)) return Failure{*error};
  view.epoch = input.epoch;
  view.algorithm_version = kPlacementVersion;
  view.type = input.type;
  view.secondaries = input.secondaries;
  if (input.type == ClusterType::kHash) {
    view.replicas_count = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(std::uint64_t{input.secondaries} + 1, view.members.size()));
    view.table.resize(std::size_t{kSlotCount} * view.replicas_count);
    Matching matching(view.members);
    const std::vector<std::uint32_t> owners = matching.solve();
    ReplicaPicker picker(view.members);
    for (std::uint32_t slot = 0; slot < kSlotCount; ++slot) {
      if (view.replicas_count > 1) matching.score_all(slot, picker.scores());
      picker.pick(owners[slot],
                  std::span(view.table)
                      .subspan(std::size_t{slot} * view.replicas_count, view.replicas_count));
    }
  }
  view.digest = digest_of(view);
  return view;
}

std::uint64_t members_digest(std::span<const Member> members) {
  std::vector<const Member*> sorted;
  for (const Member& member : members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(),
            [](const Member* left, const Member* right) { return by_name(*left, *right); });
  std::vector<std::byte> bytes;
  append(bytes, static_cast<std::uint32_t>(members.size()));
  for (const Member* member : sorted) {
    append_text(bytes, member->name);
    append(bytes, member->weight);
    append_text(bytes, member->zone);
  }
  return key_hash(bytes);
}

std::uint64_t negative_log2(std::uint64_t hash) {
  hash = std::max<std::uint64_t>(hash, 1);
  const auto zeros = static_cast<unsigned>(std::countl_zero(hash));
  const std::uint64_t mantissa = hash << zeros << 1;  // the leading one is shifted out
  const std::size_t index = static_cast<std::size_t>(mantissa >> (64 - kLogIndexBits));
  const std::uint64_t rest = (mantissa << kLogIndexBits) >> 32;
  const std::uint64_t low = kLogTable[index];
  const std::uint64_t fraction = low + (((kLogTable[index + 1] - low) * rest) >> 32);
  return (std::uint64_t{zeros + 1} << 32) - fraction;
}

std::uint64_t placement_score(std::uint64_t member_hash, std::uint32_t slot, std::uint32_t weight) {
  // Slots are spread first, so that the xor of two members' hashes never shifts one slot's draw
  // onto another's.
  const std::uint64_t draw = mix64(member_hash ^ mix64(slot + 0x9e3779b97f4a7c15ULL));
  // negative_log2 < 2^39 (64 + 1 in 32 fraction bits), so 24 more bits fit.
  return (negative_log2(draw) << 24) / weight;
}

}  // namespace ringwire::ring
