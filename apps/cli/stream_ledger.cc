#include "apps/cli/stream_ledger.h"

#include <algorithm>

namespace ringwire::cli {

void StreamLedger::note(const CheckedStamp& checked, Delivery delivery) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entry_of(checked.stamp.stream);
  entry.last_use = ++uses_;
  if (checked.verdict == StampVerdict::kDamaged) {
    // The sequence of a damaged message is as doubtful as its body: it marks nothing as seen.
    ++entry.counts.damaged;
    return;
  }
  ++entry.counts.received;
  if (delivery == Delivery::kRedelivered) ++entry.counts.redelivered;
  if (!entry.window.record(checked.stamp.sequence)) ++entry.counts.duplicated;
}

StreamCounts StreamLedger::counts_of(std::uint64_t stream) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(stream);
  return found == entries_.end() ? StreamCounts{} : found->second->counts;
}

StreamLedger::Entry& StreamLedger::entry_of(std::uint64_t stream) {
  const auto found = entries_.find(stream);
  if (found != entries_.end()) return *found->second;
  if (entries_.size() >= kMaxStreams) {
    entries_.erase(
        std::min_element(entries_.begin(), entries_.end(), [](const auto& left, const auto& right) {
          return left.second->last_use < right.second->last_use;
        }));
  }
  return *entries_.emplace(stream, std::make_unique<Entry>()).first->second;
}

}  // namespace ringwire::cli
