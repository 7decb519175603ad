#include "engine/worker/outbound.h"

#include <algorithm>

#include "base/mutant.h"
#include "base/touched.h"
#include "engine/worker/inbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {
Outbound::Outbound(Core& core) : core_(core), random_cursor_(core.config.index) {
  reserve_touched(scratch_, core.config.out_messages);
  reserve_touched(lost_, core.config.out_messages);
}

// ---- recalls ------------------------------------------------------------------------------------

void Outbound::recall(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  switch (message.state) {
    case OutState::kWaiting:
      waiting_.remove(core_.outs, out);
      break;
    case OutState::kQueued: {
      Link& link = core_.links[message.queued_link];
      link.queue[message.service].remove(core_.outs, out);
      if (link.queue[message.service].empty() && link.runs[message.service].empty())
        link.waiting_services &= ~(std::uint64_t{1} << message.service);
      break;
    }
    case OutState::kSending: {
      withdraw(message, Result::kForgotten);
      message.maybe_handed = true;
      recall_newer(out);
      break;
    }
    case OutState::kLocal:
      if (message.local_in != kNone && !core_.inbound->cancel_local(message.local_in))
        message.maybe_handed = true;
      message.local_in = kNone;
      break;
    default:
      break;
  }
  message.state = OutState::kFree;
  message.link = {};
}

std::uint32_t Outbound::link_of(const OutMessage& message) const {
  return is_run_flight(message.flight) ? core_.out_runs[run_of_flight(message.flight)].link_index
                                       : core_.flights[message.flight].link_index;
}

void Outbound::withdraw(OutMessage& message, Result result) {
  transport::Session& session = *core_.links[link_of(message)].session;
  const bool forget = result == Result::kForgotten;
  if (is_run_flight(message.flight)) {
    OutRun& run = core_.out_runs[run_of_flight(message.flight)];
    const std::uint32_t which = index_of_flight(message.flight);
    if (forget && !RW_MUTANT(91)) run.outs[which] = kNone;
    if (!message.cancel_asked) session.withdraw_run(run.number, std::uint32_t{1} << which);
  } else {
    Flight& flight = core_.flights[message.flight];
    if (forget && !RW_MUTANT(91)) flight.out = kNone;
    if (!message.cancel_asked) session.withdraw(flight.number);
  }
  if (forget) message.flight = kNone;
}

void Outbound::recall_newer(std::uint32_t out) {
  // Those after it that are on the wire and name it would wait for it at the receiver: they start
  // again behind it. From the newest to the oldest, so that pushing each to the front keeps order.
  std::uint32_t newest = kNone;
  if (RW_MUTANT(92)) return;
  for (std::uint32_t at = core_.outs[out].chain_newer; at != kNone;
       at = core_.outs[at].chain_newer) {
    const OutMessage& message = core_.outs[at];
    if (message.state != OutState::kSending || message.named_predecessor == 0) break;
    newest = at;
  }
  for (std::uint32_t at = newest; at != kNone && at != out; at = core_.outs[at].chain_older) {
    OutMessage& message = core_.outs[at];
    if (message.cancel_asked) continue;  // it ends by its own result
    const std::uint32_t link_index = link_of(message);
    Link& link = core_.links[link_index];
    withdraw(message, Result::kForgotten);
    message.maybe_handed = true;
    message.header.flags |= wire::kRedelivered;
    message.state = OutState::kQueued;
    message.queued_link = link_index;
    ++message.attempt;
    ++core_.counters.retried;
    message.header.attempt = message.attempt;
    link.queue[message.service].push_front(core_.outs, at);
    link.waiting_services |= std::uint64_t{1} << message.service;
    core_.links_wait = true;
  }
}

// ---- time and change ----------------------------------------------------------------------------

TimeNs Outbound::next_deadline_ns() const {
  return std::min({core_.deadlines.next_ns(), runs_due_ns_,
                   waiting_.empty() ? kNeverNs : retry_at_ns_, lost_answers_at_ns_});
}

/// Whose message has ended.
bool Outbound::stale(const Deadlines::Entry& entry) const {
  if ((entry.index & kShortBit) == 0) return core_.outs[entry.index].generation != entry.generation;
  const ShortMessage& message = core_.shorts[entry.index & ~kShortBit];
  return message.generation != entry.generation ||
         (message.sender != ShortSender::kOpen && message.sender != ShortSender::kAwaitReply);
}

void Outbound::reconsider() { reconsider_ = true; }

bool Outbound::room_came() const {
  if (!local_full_ || RW_MUTANT(136)) return false;
  return core_.came_back_since_full >=
         std::min(kCameBackForRetry + waiting_.count() / 4, core_.ins.capacity() / 8);
}

void Outbound::on_time() {
  if (next_deadline_ns() > core_.now && !reconsider_ && !local_full_) return;
  runs_on_time();
  std::uint32_t walks = 0;
  while (core_.deadlines.next_ns() <= core_.now && walks < kMostWalksPerTurn) {
    const Deadlines::Entry entry = core_.deadlines.pop();
    if (stale(entry)) continue;
    if ((entry.index & kShortBit) != 0) {
      core_.short_way->make_ordinary(entry.index & ~kShortBit);  // is due again, by another name
      continue;
    }
    OutMessage& message = core_.outs[entry.index];
    if (is_over(message)) continue;
    if (message.state == OutState::kParent) {
      ++walks;
      for (std::uint32_t child = 0; child < core_.outs.capacity(); ++child) {
        OutMessage& target = core_.outs[child];
        if (target.state == OutState::kFree || target.state == OutState::kChildEnded ||
            target.parent != entry.index)
          continue;
        recall(child);
        ended(child, Ending::kFailed, Reason::kTimeout);
      }
      continue;
    }
    const Reason reason =
        message.state == OutState::kWaiting ? message.waiting_for : Reason::kTimeout;
    if (message.state == OutState::kAwaitReply && !RW_MUTANT(102)) message.maybe_handed = true;
    recall(entry.index);
    ended(entry.index, Ending::kFailed, reason);
  }
  if (core_.now >= lost_answers_at_ns_) end_lost_answers();
  const bool room = room_came();
  if (!reconsider_ && !room && core_.now < retry_at_ns_) return;
  const bool all = reconsider_;
  reconsider_ = false;
  local_full_ = false;
  retry_at_ns_ = kNeverNs;
  scratch_.clear();
  for (std::uint32_t at = waiting_.front(); at != kNone;
       at = IndexList<OutMessage>::next(core_.outs, at))
    scratch_.push_back(at);
  // Elders first: who follows one that still waits would wait for the next pass.
  std::sort(scratch_.begin(), scratch_.end(), [this](std::uint32_t left, std::uint32_t right) {
    return core_.outs[left].order < core_.outs[right].order;
  });
  std::uint64_t full = 0;  // services whose room was taken again
  for (const std::uint32_t out : scratch_) {
    OutMessage& message = core_.outs[out];
    if (message.state != OutState::kWaiting) continue;
    const Channel& sender = core_.channels[message.channel];
    if (sender.removing && core_.now >= sender.orphans_until_ns) {
      recall(out);
      ended(out, Ending::kFailed, message.waiting_for);
      continue;
    }
    const bool for_room = message.waiting_for == Reason::kQueueFull;
    const std::uint64_t service = std::uint64_t{1} << message.service;
    if (for_room && (full & service) != 0) {
      local_full_ = true;
      retry_at_ns_ = std::min(retry_at_ns_, core_.now + kRetryNs);
      continue;  // behind one that found none just now
    }
    if (message.retry_at_ns > core_.now && !all && !(for_room && room)) {
      local_full_ |= for_room;
      retry_at_ns_ = std::min(retry_at_ns_, message.retry_at_ns);
      continue;
    }
    waiting_.remove(core_.outs, out);
    message.state = OutState::kFree;
    route(out);
    // It was turned away, and does not only wait for its elder.
    if (for_room && message.state == OutState::kWaiting && message.retry_at_ns > core_.now)
      full |= service;
  }
}

void Outbound::evacuate(NodeIndex node, Moves moves) {
  enlist_all();
  scratch_.clear();
  for (std::uint32_t out = 0; out < core_.outs.capacity(); ++out) {
    const OutMessage& message = core_.outs[out];
    const bool there = (message.state == OutState::kQueued || message.state == OutState::kSending ||
                        message.state == OutState::kAwaitReply) &&
                       message.node == node;
    if (!there || message.cancel_asked) continue;
    // What can go nowhere else stays, unless the links themselves change.
    if (fixed(message) && (moves == Moves::kElsewhere || message.parent != kNone)) continue;
    scratch_.push_back(out);
  }
  std::vector<std::uint32_t> movable(scratch_);
  std::sort(movable.begin(), movable.end(), [this](std::uint32_t left, std::uint32_t right) {
    return (core_.outs[left].order < core_.outs[right].order) != RW_MUTANT(104);
  });
  // Newest first, so that no recall finds anything after it on the wire to recall in turn.
  for (auto at = movable.rbegin(); at != movable.rend(); ++at) {
    OutMessage& message = core_.outs[*at];
    if (message.state == OutState::kAwaitReply) message.maybe_handed = true;
    recall(*at);
  }
  for (const std::uint32_t out : movable) {
    core_.outs[out].tried = 0;
    route(out);
  }
  // Fixed targets of multi-target sends do not wait for it, nor do answers that died with it; and a
  // call that was to be cancelled is not made again for want of its answer.
  for (std::uint32_t out = 0; out < core_.outs.capacity(); ++out) {
    OutMessage& message = core_.outs[out];
    if (message.state == OutState::kAwaitReply && message.node == node &&
        (fixed(message) || message.cancel_asked) && core_.nodes[node].state == PeerState::kDown) {
      ended(out, Ending::kUnknown, message.cancel_asked ? Reason::kCancelled : Reason::kDown);
      continue;
    }
    const bool there =
        (message.state == OutState::kQueued || message.state == OutState::kSending) &&
        message.node == node && message.parent != kNone;
    if (!there || core_.nodes[node].state != PeerState::kDown) continue;
    recall(out);
    ended(out, Ending::kFailed, Reason::kDown);
  }
}

// Who asked was a program of an engine that is gone. If that engine comes back soon, so do its
// programs, and they ask again for what was not answered: an answer that waits is for those.
TimeNs Outbound::given_up_at_ns(NodeIndex node) const {
  const Node& peer = core_.nodes[node];
  if (peer.state != PeerState::kDown || RW_MUTANT(138)) return kNeverNs;
  return peer.down_since_ns + core_.config.program_grace_ns * (core_.draining ? 1 : kOrphanGraces);
}

void Outbound::on_down(NodeIndex node) {
  lost_answers_at_ns_ = std::min(lost_answers_at_ns_, given_up_at_ns(node));
}

void Outbound::end_lost_answers() {
  for (std::uint32_t out = 0; out < core_.outs.capacity(); ++out) {
    const OutMessage& message = core_.outs[out];
    // Also what stands in the list of a link that has no session any more.
    const bool waits = message.state == OutState::kWaiting || message.state == OutState::kQueued;
    if (!waits || message.target != ipc::TargetKind::kOrigin ||
        core_.now < given_up_at_ns(message.fixed_node))
      continue;
    recall(out);
    ended(out, Ending::kFailed, Reason::kDown);
  }
  lost_answers_at_ns_ = kNeverNs;
  for (NodeIndex node = 0; node < core_.nodes.size(); ++node)
    if (const TimeNs at = given_up_at_ns(node); at > core_.now)
      lost_answers_at_ns_ = std::min(lost_answers_at_ns_, at);
}

void Outbound::on_session_end() {
  if (lost_.empty()) return;
  std::vector<std::uint32_t> lost(lost_);
  lost_.clear();
  std::sort(lost.begin(), lost.end(), [this](std::uint32_t left, std::uint32_t right) {
    return core_.outs[left].order < core_.outs[right].order;
  });
  for (const std::uint32_t out : lost) core_.outs[out].state = OutState::kFree;
  for (const std::uint32_t out : lost) {
    if (RW_MUTANT(103) && out == lost.front()) continue;
    core_.outs[out].tried = 0;
    route(out);
  }
}

}  // namespace ringwire::worker
