#include "engine/worker/outbound.h"

#include <bit>

#include "base/mutant.h"
#include "engine/worker/inbound.h"

namespace ringwire::worker {

// ---- order --------------------------------------------------------------------------------------

std::uint64_t Outbound::chain_key(ChannelIndex channel, std::uint64_t hash, std::uint16_t service,
                                  NodeIndex fixed_node) const {
  const std::uint64_t where = fixed_node == ipc::kNoNode ? 1 : fixed_node + 2ULL;
  // The secret goes in first, so that no program can choose hashes that fall into another's chain.
  return mix64(mix64(hash + core_.config.origin_secret[0]) ^
               mix64((std::uint64_t{channel} << 32) + service + (where << 16))) |
         1;
}

void Outbound::join_chain(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  if ((message.header.flags & wire::kOrderNone) != 0) return;
  if (core_.view && core_.view->type == ring::ClusterType::kRandom && !fixed(message)) return;
  message.chain_key = chain_key(message.channel, message.header.hash, message.service,
                                fixed(message) ? message.fixed_node : ipc::kNoNode);
  const std::uint32_t elder = core_.chain_tail.find(message.chain_key);
  if (elder != kNone && (core_.outs[elder].channel != message.channel ||
                         core_.outs[elder].service != message.service)) {
    message.chain_key = 0;  // another's chain of the same 64-bit key: better no order than that
    return;
  }
  message.chain_older = elder;
  if (elder != kNone) core_.outs[elder].chain_newer = out;
  core_.chain_tail.put(message.chain_key, out);
}

void Outbound::leave_chain(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  if (message.chain_key == 0) return;
  if (message.chain_older != kNone)
    core_.outs[message.chain_older].chain_newer = message.chain_newer;
  if (message.chain_newer != kNone) {
    core_.outs[message.chain_newer].chain_older = RW_MUTANT(112) ? kNone : message.chain_older;
  } else if (message.chain_older != kNone) {
    core_.chain_tail.put(message.chain_key, message.chain_older);
  } else {
    core_.chain_tail.erase(message.chain_key);
  }
  message.chain_key = 0;
  message.chain_older = message.chain_newer = kNone;
}

/// What it must not pass: its elder in the chain; where that is being called back from another
/// node, the one that it was behind itself.
const OutMessage& Outbound::elder_of(const OutMessage& message) const {
  std::uint32_t at = message.chain_older;
  while (core_.outs[at].cancel_asked && core_.outs[at].node != message.node &&
         core_.outs[at].chain_older != kNone && !RW_MUTANT(164))
    at = core_.outs[at].chain_older;
  return core_.outs[at];
}

std::uint64_t Outbound::predecessor_of(const OutMessage& message) const {
  if (message.chain_older == kNone || RW_MUTANT(93)) return 0;
  const OutMessage& elder = elder_of(message);
  const bool there = elder.node == message.node &&
                     (elder.state == OutState::kSending || elder.state == OutState::kLocal);
  return there ? elder.header.id.sequence : 0;
}

// ---- routing ------------------------------------------------------------------------------------

bool Outbound::usable(NodeIndex node) const {
  if (node == core_.config.self) return true;
  const Node& peer = core_.nodes[node];
  return peer.state == PeerState::kUp && peer.remote_worker_count > 0;
}

std::uint32_t Outbound::choose(OutMessage& message) {
  if (fixed(message)) {
    if (usable(message.fixed_node)) return message.fixed_node;
    message.waiting_for = Reason::kDown;
    return ipc::kNoNode;
  }
  const ring::View* view = core_.view.get();
  message.waiting_for = Reason::kNoNode;
  if (view == nullptr || view->members.empty()) return ipc::kNoNode;
  const bool random =
      message.target == ipc::TargetKind::kRandom || view->type == ring::ClusterType::kRandom;
  if (random) {
    const std::size_t count = view->members.size();
    for (std::size_t step = 0; step < count; ++step) {
      const std::size_t at = random_cursor_++ % count;
      if ((message.tried & tried_bit(at)) != 0) continue;
      const ring::Member& member = view->members[at];
      if (member.state == ring::MemberState::kServing && usable(member.node_index))
        return member.node_index;
    }
    return ipc::kNoNode;
  }
  if (message.chain_older != kNone) {
    const OutMessage& elder = core_.outs[message.chain_older];
    if (active(elder) && usable(elder.node) && !RW_MUTANT(95)) return elder.node;
    // At a node that is leaving it still runs to its end: order waits for that.
    if (active(elder) && !elder.cancel_asked && !RW_MUTANT(95)) {
      message.waiting_for = Reason::kDown;
      return ipc::kNoNode;
    }
  }
  const auto replicas = view->replicas_of(message.slot);
  for (std::size_t rank = 0; rank < replicas.size(); ++rank) {
    if ((message.tried & tried_bit(rank)) != 0 && !RW_MUTANT(110)) continue;
    const ring::Member& member = view->members[replicas[rank]];
    if (member.state == ring::MemberState::kServing && usable(member.node_index))
      return member.node_index;
    // A node that was never seen may just be starting: its keys wait for it rather than begin their
    // life at a secondary. The control plane calls it down when it stays away.
    if (core_.nodes[member.node_index].state == PeerState::kUnknown &&
        member.node_index != core_.config.self)
      return ipc::kNoNode;
  }
  return ipc::kNoNode;
}

void Outbound::route(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  if (message.chain_older != kNone && !RW_MUTANT(94) &&
      core_.outs[message.chain_older].state == OutState::kWaiting)
    return wait(out, core_.outs[message.chain_older].waiting_for, 0);
  const std::uint32_t node = choose(message);
  if (node != ipc::kNoNode) return send_to(out, node);
  const Reason reason = message.waiting_for;
  if (message.tried != 0) {  // all that are there turned it away: once round again, after a pause
    message.tried = 0;
    return wait(out, reason, kRetryNs);
  }
  // Single targets of a multi-target send do not wait for a node that is away.
  const bool gone = fixed(message) &&
                    core_.nodes[message.fixed_node].state != PeerState::kUnknown &&
                    message.target == ipc::TargetKind::kNode && message.parent != kNone;
  const bool lost =
      message.target == ipc::TargetKind::kOrigin && core_.now >= given_up_at_ns(message.fixed_node);
  if (message.no_wait || gone || lost) return ended(out, Ending::kFailed, reason);
  wait(out, reason, 0);
}

void Outbound::wait(std::uint32_t out, Reason reason, DurationNs pause_ns) {
  OutMessage& message = core_.outs[out];
  if (message.no_wait && pause_ns != 0) return ended(out, Ending::kFailed, reason);
  message.state = OutState::kWaiting;
  message.waiting_for = reason;
  message.node = ipc::kNoNode;
  message.retry_at_ns = core_.now + pause_ns;
  waiting_.push_back(core_.outs, out);
  // Who waits only for the world to change is looked at when it does, and now and then besides.
  if (!RW_MUTANT(107)) retry_at_ns_ = std::min(retry_at_ns_, core_.now + kRetryNs);
}

/// The worker of its node that takes it: by slot, so that a key's messages meet at one worker
/// whoever sends them; for an answer the one where the asking channel is at home.
std::uint32_t Outbound::worker_of(const OutMessage& message) const {
  const std::uint32_t count = core_.nodes[message.node].remote_worker_count;
  return (message.target == ipc::TargetKind::kOrigin ? message.fixed_worker : message.slot) % count;
}

bool Outbound::is_here(const OutMessage& message) const {
  return message.node == core_.config.self && worker_of(message) == core_.config.index;
}

void Outbound::send_to(std::uint32_t out, NodeIndex node) {
  OutMessage& message = core_.outs[out];
  message.node = node;
  ++message.attempt;
  if (message.attempt > 1) ++core_.counters.retried;
  if (message.maybe_handed && !RW_MUTANT(108)) message.header.flags |= wire::kRedelivered;
  message.header.attempt = message.attempt;
  message.header.epoch = core_.view ? core_.view->epoch : 0;
  if (is_here(message)) {
    message.header.predecessor = predecessor_of(message);
    message.named_predecessor = message.header.predecessor;
    message.state = OutState::kLocal;
    core_.inbound->deliver_local(out);
    return;  // it may have ended or been turned away already
  }
  message.queued_link = core_.nodes[node].links[worker_of(message)];
  Link& link = core_.links[message.queued_link];
  message.state = OutState::kQueued;
  link.queue[message.service].push_back(core_.outs, out);
  link.waiting_services |= std::uint64_t{1} << message.service;
  core_.links_wait = true;
}

void Outbound::pump() {
  if (!core_.links_wait) return;
  core_.links_wait = false;
  for (std::uint32_t at = 0; at < core_.links.size(); ++at) {
    Link& link = core_.links[at];
    core_.links_wait |= link.waiting_services != 0;
    if (link.waiting_services == 0 || link.session == nullptr) continue;
    std::uint64_t blocked = 0;
    while ((link.waiting_services & ~blocked) != 0) {
      const std::uint64_t ready =
          std::rotr(link.waiting_services & ~blocked, static_cast<int>(link.next_service));
      const std::uint32_t service =
          (link.next_service + static_cast<std::uint32_t>(std::countr_zero(ready))) % kMaxServices;
      if (!pump_one(at, service)) blocked |= std::uint64_t{1} << service;
      if (link.queue[service].empty() && link.runs[service].empty())
        link.waiting_services &= ~(std::uint64_t{1} << service);
      link.next_service = (service + 1) % kMaxServices;
      if (link.session == nullptr) break;
    }
  }
}

/// Sends up to 16 messages of one service, so that services take turns. False when it cannot go on.
bool Outbound::pump_one(std::uint32_t link_index, std::uint32_t service) {
  Link& link = core_.links[link_index];
  IndexList<OutMessage>& queue = link.queue[service];
  bool progress = false;
  const IndexList<OutRun>& runs = link.runs[service];
  for (std::uint32_t count = 0; count < 16 && !(queue.empty() && runs.empty()); ++count) {
    // The older ones first: what waits for credit waits in its turn.
    if (!runs.empty() &&
        (queue.empty() || core_.out_runs[runs.front()].order < core_.outs[queue.front()].order)) {
      if (!send_run(link_index, service)) return false;
      progress = true;
      continue;
    }
    const std::uint32_t out = queue.front();
    OutMessage& message = core_.outs[out];
    if (message.chain_older != kNone) {
      const OutMessage& elder = elder_of(message);
      if (elder.state == OutState::kWaiting) {
        queue.remove(core_.outs, out);
        wait(out, elder.waiting_for, 0);
        progress = true;
        continue;
      }
      // It was routed anew: follow it, or wait for it.
      if (active(elder) && elder.node != message.node && !elder.cancel_asked) {
        queue.remove(core_.outs, out);
        message.state = OutState::kFree;
        route(out);
        progress = true;
        continue;
      }
      // An elder that was recalled stands behind us now; one that is being cancelled may never
      // come, so that it cannot be named: both go first.
      if ((elder.state == OutState::kQueued && !RW_MUTANT(96)) ||
          (elder.cancel_asked && elder.node == message.node && !RW_MUTANT(97))) {
        if (elder.state == OutState::kQueued) core_.worked = true;  // reached within a few turns
        queue.remove(core_.outs, out);
        queue.push_back(core_.outs, out);
        continue;
      }
    }
    const std::uint32_t cookie = core_.flights.take();
    if (cookie == kNone) return false;
    message.header.predecessor = predecessor_of(message);
    message.named_predecessor = message.header.predecessor;
    transport::MessageNumber number{};
    const transport::SendVerdict verdict =
        link.session->send(message.header, message.payload, cookie, number);
    if (verdict != transport::SendVerdict::kTaken) {
      core_.flights.give_back(cookie);
      return false;
    }
    queue.remove(core_.outs, out);
    Flight& flight = core_.flights[cookie];
    flight.out = out;
    flight.link_index = link_index;
    flight.number = number;
    message.flight = cookie;
    message.state = OutState::kSending;
    core_.worked = true;
    progress = true;
  }
  return progress;
}

}  // namespace ringwire::worker
