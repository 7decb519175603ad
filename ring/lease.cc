#include "ring/lease.h"

#include <algorithm>
#include <vector>

namespace ringwire::ring {

void Lease::on_view(std::uint64_t epoch, const IdSet& voters) {
  if (voters != voters_) {
    voters_ = voters;
    granted_.clear();
    until_ = 0;
  }
  // Answers to what was asked under an older view say nothing about this one's voters.
  if (epoch != epoch_) asked_ = {};
  epoch_ = epoch;
}

LeaseRequest Lease::ask(TimeNs now) {
  ++sequence_;
  asked_[sequence_ % kAskedCount] = {.sequence = sequence_, .at = now, .is_set = true};
  return {.epoch = epoch_, .sequence = sequence_};
}

void Lease::on_granted(const Id128& voter, const LeaseRequest& request) {
  const Asked& asked = asked_[request.sequence % kAskedCount];
  if (request.epoch != epoch_ || !asked.is_set || asked.sequence != request.sequence ||
      !contains(voters_, voter))
    return;
  const auto [at, is_new] = granted_.try_emplace(voter, asked.at);
  if (!is_new) at->second = std::max(at->second, asked.at);
  // The lease runs from the time that a majority's grants are at least as new as: from when they
  // were asked for, since how long an answer travelled is not known.
  if (granted_.size() * 2 <= voters_.size()) return;
  std::vector<TimeNs> times;
  times.reserve(granted_.size());
  for (const auto& [id, time] : granted_) times.push_back(time);
  const auto nth = times.begin() + static_cast<std::ptrdiff_t>(voters_.size() / 2);
  std::nth_element(times.begin(), nth, times.end(), std::greater<>());
  until_ = std::max(until_, *nth + kLeaseNs);
}

bool Grants::try_grant(TimeNs now, const Id128& holder) {
  forget_old(now);
  const auto at = grants_.find(holder);
  if (at == grants_.end() && grants_.size() >= kMaxHolders) return false;
  if (at != grants_.end() && now < at->second.refused_until) return false;
  grants_[holder].until = now + kGrantNs;
  return true;
}

bool Grants::try_take_away(TimeNs now, const IdSet& losers) {
  forget_old(now);
  bool is_free = losers.empty() || now >= blocked_until_;
  for (const Id128& loser : losers) {
    if (grants_.size() >= kMaxHolders + kMaxLosers && !grants_.contains(loser)) return false;
    // Even without a lease of his: between this vote and the commit he must not get one either.
    // Twice: the proposer asks again within kGrantNs, or has given up.
    Grant& grant = grants_[loser];
    grant.refused_until = now + 2 * kGrantNs;
    if (now < grant.until) is_free = false;
  }
  return is_free;
}

void Grants::on_committed() {
  for (auto& [holder, grant] : grants_) grant.refused_until = 0;
}

void Grants::forget_old(TimeNs now) {
  std::erase_if(grants_, [now](const auto& entry) {
    return now >= entry.second.until && now >= entry.second.refused_until;
  });
}

}  // namespace ringwire::ring
