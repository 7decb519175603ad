// What the nodes agree on, and the words they do it in: plain data. A decree is one epoch's view as
// the agreement sees it; a ballot is one try to have a decree chosen; a record is what a voter must
// not forget; a message is what voters say to each other. ring/agreement has the rules,
// ring/decree_codec the bytes, docs/membership.md the clauses (M-10 to M-19). Cold, any thread.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace ringwire::ring {

/// 31: survives the loss of 15; more voters only make every commit slower.
inline constexpr std::size_t kMaxVoters = 31;
/// Nodes that one view may take service away from. A larger loss is agreed in several epochs.
inline constexpr std::size_t kMaxLosers = 64;
/// 60 KiB: with voters and losers a message stays below the control plane's 64 KiB.
inline constexpr std::size_t kMaxDescriptionBytes = 60 * 1024;
/// Rounds and epochs end here: one a nanosecond lasts for 146 years, and + 1 never wraps.
inline constexpr std::uint64_t kMaxRound = 1ULL << 62;
inline constexpr std::uint64_t kMaxEpoch = 1ULL << 62;

/// Identities of voters, sorted, each once. An identity is minted with a state directory (M-3), so
/// a node that lost its directory is another voter, and its forgotten votes bind nobody.
using IdSet = std::vector<Id128>;

[[nodiscard]] inline bool contains(const IdSet& set, const Id128& id) {
  return std::binary_search(set.begin(), set.end(), id);
}

/// Adds an id; false if it was there.
inline bool insert(IdSet& set, const Id128& id) {
  const auto at = std::lower_bound(set.begin(), set.end(), id);
  if (at != set.end() && *at == id) return false;
  set.insert(at, id);
  return true;
}

/// More than half of `voters` are in `present`. No voters, no majority.
[[nodiscard]] inline bool is_majority(const IdSet& voters, const IdSet& present) {
  std::size_t count = 0;
  for (const Id128& voter : voters) count += contains(present, voter) ? 1U : 0U;
  return count * 2 > voters.size();
}

/// One try to have a decree chosen for an epoch: unique, since the proposer is part of it.
struct Ballot {
  std::uint64_t round = 0;  ///< from 1; 0: no ballot
  Id128 proposer;
  auto operator<=>(const Ballot&) const = default;
  [[nodiscard]] bool empty() const { return round == 0; }
};

struct Decree {
  IdSet voters;  ///< who decides the next epoch; empty: no decree
  /// Who serves less than in the epoch before and has not stopped by itself: voters wait until
  /// their leases have run out (M-31).
  IdSet losers;
  std::vector<std::byte> description;  ///< the view; opaque here
  bool operator==(const Decree&) const = default;
};

/// Within the limits, sets in order, and at least one voter.
[[nodiscard]] bool is_well_formed(const Decree& decree);

/// What a voter must remember: one committed epoch, and its votes on the next.
struct Record {
  Id128 cluster;  ///< minted once, when the cluster was founded
  Id128 self;
  std::uint64_t epoch = 0;  ///< committed; 0: knows no view yet
  Decree decree;            ///< of `epoch`
  Ballot promised;          ///< for epoch + 1: no older ballot gets a vote
  Ballot accepted;          ///< for epoch + 1: the last vote, and what it was for
  Decree accepted_decree;
  bool operator==(const Record&) const = default;
};

/// Values are wire format: never renumber.
enum class MessageKind : std::uint8_t {
  kPrepare = 1,   ///< epoch, ballot: may I?
  kPromise = 2,   ///< epoch, ballot, other and decree: yes; and my last vote, if any
  kAccept = 3,    ///< epoch, ballot, decree: vote for this
  kAccepted = 4,  ///< epoch, ballot: voted
  kReject = 5,    ///< epoch, ballot, other: no, I have promised `other`
  kLearn = 6,     ///< epoch, decree: committed
  kAsk = 7,       ///< epoch: is mine; tell me if you know a later one
};

struct Message {
  MessageKind kind{};
  Id128 cluster;
  Id128 from;
  Id128 to;
  std::uint64_t epoch = 0;
  Ballot ballot;
  Ballot other;
  Decree decree;
  bool operator==(const Message&) const = default;
};

}  // namespace ringwire::ring
