// What waits in groups: when it goes back because nobody comes for it, and how much it is.
#include <algorithm>

#include "base/mutant.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {

TimeNs Groups::next_deadline_ns() const {
  TimeNs next = kNeverNs;
  for (const Group& group : groups_)
    if (group.consumers.empty() && !group.queued.empty())
      next = std::min(next, std::max(group.alone_since_ns + core_.config.program_grace_ns,
                                     core_.now + kRetryNs));
  return next;
}

void Groups::on_time() {
  for (Group& group : groups_) {
    if (!group.consumers.empty() || group.queued.empty()) continue;
    if (core_.now - group.alone_since_ns < core_.config.program_grace_ns) continue;
    for (std::uint32_t in = group.queued.front(); in != kNone;) {
      const std::uint32_t next = IndexList<InMessage>::next(core_.ins, in);
      const InMessage& message = core_.ins[in];
      if (RW_MUTANT(82) || (!message.settled && message.header.level == Level::kProcessed)) {
        core_.inbound->finish(
            in, message.deliveries == 0 || RW_MUTANT(83) ? Ending::kFailed : Ending::kUnknown,
            Reason::kNoConsumer);
      } else {
        // What its sender was told is accepted stays until somebody comes; but not with the credit
        // that others need to come and be turned away to a node that serves.
        core_.inbound->return_credit(in);
      }
      in = next;
    }
  }
}

void Groups::turn_all_away(Reason reason) {
  all_runs_apart();
  for (std::uint16_t service = 0; service < core_.services.size(); ++service)
    core_.short_way->enlist_waiting(service);
  for (std::uint32_t in = 0; in < core_.ins.capacity(); ++in) {
    const InMessage& message = core_.ins[in];
    const bool waits = message.state == InState::kQueued || message.state == InState::kAtConsumer;
    if (waits && (message.deliveries == 0 || RW_MUTANT(81)) && !message.settled &&
        message.header.level == Level::kProcessed)
      core_.inbound->finish(in, Ending::kFailed, reason);
  }
}

void Groups::fill(std::vector<GroupSnapshot>& snapshots) const {
  for (std::uint16_t service = 0; service < core_.services.size(); ++service) {
    const Group& group = groups_[service];
    if (snapshots.size() == snapshots.capacity()) return;
    std::uint32_t listed = group.queued.count() + group.in_runs;
    for (const std::uint32_t at : group.consumers)
      listed += consumers_[at].pending.count() + consumers_[at].shorts.count();
    snapshots.push_back({service, static_cast<std::uint32_t>(group.consumers.size()), listed,
                         group.in_flight, group.order_none});
  }
}

std::uint64_t Groups::unprocessed() const {
  std::uint64_t count = 0;
  for (const Group& group : groups_) {
    count += group.queued.count() + group.in_runs + group.in_flight;
    for (const std::uint32_t at : group.consumers)
      count += consumers_[at].pending.count() + consumers_[at].shorts.count();
  }
  return count;
}

bool Groups::blocked() const {
  for (const Consumer& consumer : consumers_)
    if (consumer.live && consumer.pending.count() + consumer.shorts.count() != 0 &&
        consumer.in_flight < consumer.prefetch)
      return true;
  for (const Group& group : groups_)
    if ((!group.queued.empty() && !group.consumers.empty()) ||
        (group.giving != kNone && consumers_[group.consumers.front()].in_flight <
                                      consumers_[group.consumers.front()].prefetch))
      return true;
  return false;
}

}  // namespace ringwire::worker
