// May this node serve? A lease says so for a short while, by a majority of the voters; a voter that
// granted one does not vote to take service away from the holder until it has run out. So no two
// nodes serve one slot at one time, although nobody's clock is right: only the rates of clocks are
// trusted, to 5 % (M-30 to M-36). Source: Gray and Cheriton, "Leases", SOSP 1989.
//
// Lease is the holder's half, Grants the voter's. Both are pure, cold, one thread (the ring
// manager), and hold no durable state: a restarted holder has no lease, a restarted voter behaves
// as if it had granted everybody one just now. `now` must come from a clock that goes on while the
// machine sleeps.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "base/time.h"
#include "ring/decree.h"

namespace ringwire::ring {

/// A voter keeps its word for so long, by its own clock. 80 ms: no longer than the silence after
/// which a node is suspected, so that a dead node's lease has run out when that is proposed.
inline constexpr DurationNs kGrantNs = 80 * kMillisecondNs;
/// A holder serves for so long, by its own clock, from when it asked.
inline constexpr DurationNs kLeaseNs = 72 * kMillisecondNs;
/// Clocks run at 95 % to 105 % of the true rate. The slowest holder must end before the fastest
/// voter: 72 / 0.95 = 75.8 ms, 80 / 1.05 = 76.2 ms.
inline constexpr std::int64_t kClockErrorPercent = 5;
static_assert(kLeaseNs * (100 + kClockErrorPercent) <= kGrantNs * (100 - kClockErrorPercent));

struct LeaseRequest {
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
};

/// The holder's half.
class Lease {
 public:
  /// `first_sequence`: random, so that no answer to an earlier life of this node is taken for one
  /// to this.
  explicit Lease(std::uint64_t first_sequence) : sequence_(first_sequence) {}

  /// The view that this node goes by. Other voters than before: what was granted is void.
  void on_view(std::uint64_t epoch, const IdSet& voters);
  /// A request to send to all voters; to be repeated several times per lease.
  [[nodiscard]] LeaseRequest ask(TimeNs now);
  /// `voter` granted a request of ours. Answers to requests more than kAskedCount ago are too late.
  void on_granted(const Id128& voter, const LeaseRequest& request);

  /// True while this node may serve under the view handed in last. O(1).
  [[nodiscard]] bool holds(TimeNs now) const { return now < until_; }
  [[nodiscard]] TimeNs until_ns() const { return until_; }

 private:
  // 8: with four requests per lease every answer that could still extend it is known.
  static constexpr std::size_t kAskedCount = 8;
  struct Asked {
    std::uint64_t sequence = 0;
    TimeNs at = 0;
    bool is_set = false;
  };

  std::uint64_t sequence_;
  std::uint64_t epoch_ = 0;
  IdSet voters_;
  std::array<Asked, kAskedCount> asked_{};
  std::map<Id128, TimeNs> granted_;  // by voter: when the newest granted request was asked
  TimeNs until_ = 0;
};

/// The voter's half.
class Grants {
 public:
  /// A voter that starts, or starts again: what an earlier life granted is not known, so everybody
  /// counts as granted at `now`.
  explicit Grants(TimeNs now) : blocked_until_(now + kGrantNs) {}

  /// Grants `holder` a lease from now, if Agreement::may_grant_under the epoch it asks for. False
  /// while the holder is being taken out of service, or when kMaxHolders leases run.
  [[nodiscard]] bool try_grant(TimeNs now, const Id128& holder);
  /// True while a lease of any of `losers` may run: the voter must not vote for that decree yet.
  /// Their leases are not renewed meanwhile, so that this ends within kGrantNs.
  [[nodiscard]] bool try_take_away(TimeNs now, const IdSet& losers);
  /// An epoch was committed: who was to lose by another decree for it may be granted again.
  void on_committed();
  /// Other voters decide from now on. Leases that the old ones granted are not known to the new
  /// ones, so everybody counts as granted at `now` (M-34).
  void on_voters_changed(TimeNs now) { blocked_until_ = now + kGrantNs; }

 private:
  static constexpr std::size_t kMaxHolders = 1'024;  // members of a view
  struct Grant {
    TimeNs until = 0;
    TimeNs refused_until = 0;
  };
  void forget_old(TimeNs now);

  TimeNs blocked_until_;
  std::map<Id128, Grant> grants_;
};

}  // namespace ringwire::ring
