#include "engine/worker/outbound.h"

#include <algorithm>
#include <cstring>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/inbound.h"
#include "engine/worker/origin_seal.h"

namespace ringwire::worker {
namespace {

/// Rank of a slot's replica (or index of a member) as a bit of OutMessage::tried; ranks past the
/// last bit share it, which only makes a retry come round sooner.
std::uint16_t tried_bit(std::size_t rank) {
  return static_cast<std::uint16_t>(1u << std::min<std::size_t>(rank, 15));
}

bool active(const OutMessage& message) {
  return message.state == OutState::kQueued || message.state == OutState::kSending ||
         message.state == OutState::kLocal;
}

bool fixed(const OutMessage& message) {
  return message.parent != kNone || message.target == ipc::TargetKind::kNode ||
         message.target == ipc::TargetKind::kOrigin;
}

}  // namespace

Outbound::Outbound(Core& core) : core_(core), random_cursor_(core.config.index) {
  scratch_.reserve(core.config.out_messages);
  lost_.reserve(core.config.out_messages);
}

// ---- taking -------------------------------------------------------------------------------------

bool Outbound::take(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  // While draining, what a program has not yet got rid of stays with it: it submits it again to the
  // engine that comes next.
  if (channel.violated || (core_.draining && !channel.removing)) return false;
  bool any = false;
  for (std::uint32_t count = 0; count < kSubmissionsPerChannelTurn; ++count) {
    if (!channel.has_stash) {
      if (channel.outstanding.count() >= kMaxOutstandingPerChannel) break;
      if (core_.outs.free_count() == 0) break;
      if (!channel.ipc->poll_submission(channel.stash)) break;
      // A program that is gone left at most a queue full; one that goes on writing ends here.
      if (channel.removing && ++channel.taken_removing > ipc::kMaxQueueEntries) {
        core_.channels_part->violate(index);
        break;
      }
      any = true;
    }
    const Taken taken = accept(index, channel.stash);
    channel.has_stash = taken == Taken::kNoRoom;
    if (taken == Taken::kNoRoom) break;
    any = true;
    if (taken == Taken::kBad) {
      ++core_.counters.bad_submissions;
      core_.channels_part->violate(index);
      break;
    }
  }
  if (any) channel.ipc->publish_submissions();
  if (channel.ipc->violated()) core_.channels_part->violate(index);
  return any;
}

Outbound::Taken Outbound::accept(ChannelIndex index, const ipc::Submission& submission) {
  Channel& channel = core_.channels[index];
  if ((submission.flags & ipc::kSubmitCancel) != 0) {
    cancel(index, submission.sequence);
    return Taken::kTaken;
  }
  if (submission.sequence < channel.next_sequence || submission.sequence > kMaxSequence)
    return Taken::kBad;
  // Replies have room of their own: else calls that wait for them could keep them out for ever.
  if ((submission.flags & ipc::kSubmitReply) == 0 &&
      core_.outs.free_count() <= core_.outs.capacity() / kReplyShare)
    return Taken::kNoRoom;
  const std::uint32_t out = core_.outs.take();
  if (out == kNone) return Taken::kNoRoom;
  OutMessage& message = core_.outs[out];
  message.channel = index;
  if (!fill(channel, submission, message)) {
    core_.outs.give_back(out);
    return Taken::kBad;
  }
  message.order = ++core_.next_order;
  const bool multiple =
      message.target == ipc::TargetKind::kBroadcast || message.target == ipc::TargetKind::kReplicas;
  if (multiple) {
    const Taken taken = fan_out(index, out);
    if (taken != Taken::kTaken) {
      core_.outs.give_back(out);
      return taken;
    }
  }
  channel.next_sequence = submission.sequence + 1;
  ++channel.submitted;
  ++core_.counters.taken;
  ++core_.counters.in_flight_now;
  message.counted = true;
  if (message.file != 0)
    for (TransmitFile& file : channel.files)
      if (file.file == message.file) ++file.users;
  channel.outstanding.push_back(core_.outs, out);
  core_.out_by_sequence.put(Core::sequence_key(index, submission.sequence), out);
  if (message.deadline_ns != 0) {
    if (core_.deadlines.full())
      core_.deadlines.sweep([this](const Deadlines::Entry& entry) {
        return core_.outs[entry.index].generation != entry.generation;
      });
    core_.deadlines.add({message.deadline_ns, out, message.generation});
  }
  if (multiple) {
    message.state = OutState::kParent;
    // Children were made in order; they go out only now that the parent is on the books.
    scratch_.clear();
    for (std::uint32_t child = message.children_ended.front(); child != kNone;
         child = IndexList<OutMessage>::next(core_.outs, child))
      scratch_.push_back(child);
    message.children_ended = {};
    const bool nobody = scratch_.empty();
    for (const std::uint32_t child : scratch_) {
      core_.outs[child].link = {};
      join_chain(child);
      route(child);
    }
    if (nobody) ended(out, Ending::kFailed, Reason::kNoNode);
    return Taken::kTaken;
  }
  if (message.reason != Reason::kNone) {
    ended(out, Ending::kFailed, message.reason);
    return Taken::kTaken;
  }
  if (message.target == ipc::TargetKind::kKey || message.target == ipc::TargetKind::kNode)
    join_chain(out);
  route(out);
  return Taken::kTaken;
}

bool Outbound::fill(Channel& channel, const ipc::Submission& submission, OutMessage& message) {
  using ipc::TargetKind;
  const auto target = static_cast<TargetKind>(submission.target);
  if (submission.target < 1 || submission.target > 6) return false;
  if (submission.level > 2 || submission.require > 2) return false;
  if (submission.service >= core_.services.size()) return false;
  if (submission.key_bytes > kMaxKeyBytes) return false;
  std::memcpy(message.bytes.data(), submission.inline_bytes, message.bytes.size());
  // A call has one answer, so one target.
  if ((submission.flags & ipc::kSubmitCall) != 0 &&
      (target == TargetKind::kBroadcast || target == TargetKind::kReplicas))
    return false;
  message.target = target;
  message.require = static_cast<ipc::Require>(submission.require);
  message.no_wait = (submission.flags & ipc::kSubmitNoWait) != 0;
  message.maybe_handed = (submission.flags & ipc::kSubmitReplayed) != 0 && !RW_MUTANT(88);
  message.service = submission.service;
  message.deadline_ns = submission.deadline_ns;
  message.slot = slot_of(submission.hash);
  wire::MessageHeader& header = message.header;
  header.id = {channel.attachment, channel.number, submission.sequence};
  header.hash = submission.hash;
  header.payload_bytes = submission.payload_bytes;
  header.level = static_cast<Level>(submission.level);
  header.priority = submission.priority;
  header.service = core_.services[submission.service];
  if ((submission.flags & ipc::kSubmitOrderNone) != 0) header.flags |= wire::kOrderNone;
  if ((submission.flags & ipc::kSubmitCall) != 0) header.flags |= wire::kCall;
  if (message.no_wait) header.flags |= wire::kNoWait;
  if (target == TargetKind::kBroadcast) header.flags |= wire::kBroadcast;
  if (target == TargetKind::kReplicas) header.flags |= wire::kReplica;

  std::size_t used = 0;
  if (target == TargetKind::kOrigin) {
    ipc::OriginToken token;
    std::memcpy(&token, message.bytes.data(), sizeof token);
    // Not ours, or of the engine before us, whose callers are gone with it.
    if (token.seal != origin_seal(token, core_.config.origin_secret))
      message.reason = Reason::kOriginGone;
    header.in_reply_to = {
        {token.attachment_high, token.attachment_low}, token.channel, token.sequence};
    header.flags |= (submission.flags & ipc::kSubmitReply) != 0 ? wire::kReply : wire::kToOrigin;
    message.fixed_node = token.node;
    message.fixed_worker = token.home_worker;
    used = sizeof token;
  } else if (target == TargetKind::kNode) {
    if (submission.node >= ipc::kMaxNodes) return false;
    message.fixed_node = submission.node;
  }
  const bool key_in_extent = (submission.flags & ipc::kSubmitKeyInExtent) != 0;
  if (!key_in_extent) {
    if (used + submission.key_bytes > message.bytes.size()) return false;
    header.key = std::span<const std::byte>(message.bytes.data() + used, submission.key_bytes);
    used += submission.key_bytes;
  }
  if (submission.extent_file == 0) {
    if (key_in_extent || submission.payload_bytes > message.bytes.size() - used) return false;
    message.payload = message.bytes.data() + used;
    return true;
  }
  for (const TransmitFile& file : channel.files) {
    if (file.file != submission.extent_file) continue;
    if (submission.payload_offset > file.bytes) return false;
    if (submission.payload_bytes > file.bytes - submission.payload_offset) return false;
    message.file = file.file;
    message.payload = file.data + submission.payload_offset;
    if (key_in_extent) {
      if (submission.payload_offset < submission.key_bytes) return false;
      header.key = std::span(message.payload - submission.key_bytes, submission.key_bytes);
    }
    return true;
  }
  return false;
}

Outbound::Taken Outbound::fan_out(ChannelIndex index, std::uint32_t parent) {
  const ring::View* view = core_.view.get();
  scratch_.clear();
  if (view != nullptr) {
    const OutMessage& message = core_.outs[parent];
    if (message.target == ipc::TargetKind::kReplicas && !view->table.empty()) {
      for (const ring::MemberIndex member : view->replicas_of(message.slot))
        scratch_.push_back(view->members[member].node_index);
    } else {
      for (const ring::Member& member : view->members) scratch_.push_back(member.node_index);
    }
  }
  if ((core_.channels[index].stash.flags & ipc::kSubmitExcludeSelf) != 0)
    std::erase(scratch_, core_.config.self);
  if (core_.outs.free_count() < scratch_.size() + core_.outs.capacity() / kReplyShare)
    return Taken::kNoRoom;
  for (const NodeIndex node : scratch_) {
    const std::uint32_t at = core_.outs.take();
    OutMessage& child = core_.outs[at];
    const OutMessage& source = core_.outs[parent];
    child.channel = index;
    child.parent = parent;
    child.target = ipc::TargetKind::kNode;
    child.fixed_node = node;
    child.service = source.service;
    child.slot = source.slot;
    child.header = source.header;
    child.payload = source.payload;  // the parent's bytes and file outlive its children
    child.maybe_handed = source.maybe_handed;
    child.order = ++core_.next_order;
    core_.outs[parent].children_ended.push_back(core_.outs, at);
    ++core_.outs[parent].children_count;
    ++core_.outs[parent].children_open;
  }
  return Taken::kTaken;
}

void Outbound::cancel(ChannelIndex index, std::uint64_t sequence) {
  const std::uint32_t out = core_.out_by_sequence.find(Core::sequence_key(index, sequence));
  if (out == kNone || core_.outs[out].channel != index) return;
  if (core_.outs[out].state != OutState::kParent) return cancel_one(out);
  for (std::uint32_t child = 0; child < core_.outs.capacity(); ++child)
    if (core_.outs[child].state != OutState::kFree && core_.outs[child].parent == out)
      cancel_one(child);
}

void Outbound::cancel_one(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  switch (message.state) {
    case OutState::kWaiting:
    case OutState::kQueued:
      recall(out);
      ended(out, Ending::kFailed, Reason::kCancelled);
      break;
    case OutState::kSending:
      // The peer says whether a program has it; until then it is neither failed nor unknown.
      if (!message.cancel_asked) {
        message.cancel_asked = true;
        const Flight& flight = core_.flights[message.flight];
        core_.links[flight.link_index].session->withdraw(flight.number);
        recall_newer(out);
        if (RW_MUTANT(105)) {
          core_.flights[message.flight].out = kNone;
          ended(out, Ending::kFailed, Reason::kCancelled);
        }
      }
      break;
    case OutState::kLocal:
      // Once a program has had it, its own result is the outcome.
      if (message.local_in == kNone || core_.ins[message.local_in].deliveries != 0) break;
      if (core_.inbound->cancel_local(message.local_in)) {
        message.local_in = kNone;
        ended(out, Ending::kFailed, Reason::kCancelled);
      }
      break;
    default:
      break;  // ended already, or answered: the outcome is on its way
  }
}

// ---- order --------------------------------------------------------------------------------------

void Outbound::join_chain(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  if ((message.header.flags & wire::kOrderNone) != 0) return;
  if (core_.view && core_.view->type == ring::ClusterType::kRandom && !fixed(message)) return;
  const std::uint64_t where = fixed(message) ? message.fixed_node + 2ULL : 1;
  // The secret goes in first, so that no program can choose hashes that fall into another's chain.
  message.chain_key =
      mix64(mix64(message.header.hash + core_.config.origin_secret[0]) ^
            mix64((std::uint64_t{message.channel} << 32) + message.service + (where << 16))) |
      1;
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

std::uint64_t Outbound::predecessor_of(const OutMessage& message) const {
  if (message.chain_older == kNone || RW_MUTANT(93)) return 0;
  const OutMessage& elder = core_.outs[message.chain_older];
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
  if (message.no_wait || gone) return ended(out, Ending::kFailed, reason);
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
}

void Outbound::pump() {
  for (std::uint32_t at = 0; at < core_.links.size(); ++at) {
    Link& link = core_.links[at];
    if (link.waiting_services == 0 || link.session == nullptr) continue;
    std::uint64_t blocked = 0;
    while ((link.waiting_services & ~blocked) != 0) {
      std::uint32_t service = link.next_service;
      while (((link.waiting_services & ~blocked) >> service & 1) == 0)
        service = (service + 1) % kMaxServices;
      if (!pump_one(at, service)) blocked |= std::uint64_t{1} << service;
      if (link.queue[service].empty()) link.waiting_services &= ~(std::uint64_t{1} << service);
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
  for (std::uint32_t count = 0; count < 16 && !queue.empty(); ++count) {
    const std::uint32_t out = queue.front();
    OutMessage& message = core_.outs[out];
    if (message.chain_older != kNone) {
      const OutMessage& elder = core_.outs[message.chain_older];
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
    transport::OutgoingMessage outgoing;
    outgoing.header = message.header;
    outgoing.payload = message.payload;
    outgoing.cookie = cookie;
    transport::MessageNumber number{};
    const transport::SendVerdict verdict = link.session->send(outgoing, number);
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

// ---- what becomes of them -----------------------------------------------------------------------

void Outbound::on_result(std::uint32_t cookie, Ending ending, Reason reason) {
  if (cookie >= core_.flights.capacity()) return;
  const std::uint32_t out = core_.flights[cookie].out;
  core_.flights.give_back(cookie);
  if (out == kNone) {
    ++core_.counters.late_outcomes;
    return;
  }
  OutMessage& message = core_.outs[out];
  message.flight = kNone;
  if (message.state == OutState::kReplied) {
    --core_.channels[message.channel].replied;
    return give_back(out);
  }
  if (ending == Ending::kUnknown && reason == Reason::kSessionLost && !RW_MUTANT(90))
    message.maybe_handed = true;
  if (reason == Reason::kSessionLost && !RW_MUTANT(69)) {
    if (message.cancel_asked || message.header.level == Level::kNone)
      return ended(out, ending, message.cancel_asked ? Reason::kCancelled : reason);
    lost_.push_back(out);  // its elders may come later in this batch: routed in order at its end
    message.state = OutState::kWaiting;
    message.waiting_for = Reason::kDown;
    message.link = {};
    return;
  }
  if (ending == Ending::kDone && reason == Reason::kReplyFollows) return await_reply(out);
  if (ending == Ending::kUnknown && reason == Reason::kNoConsumer) {
    // A program had it and went away, and no other came: it may go to another node, flagged.
    message.maybe_handed = true;
    ending = Ending::kFailed;
  }
  if (ending == Ending::kFailed && !message.cancel_asked) return turned_away(out, reason);
  ended(out, ending, reason);
}

void Outbound::on_sent(std::uint32_t cookie) { on_result(cookie, Ending::kDone, Reason::kNone); }

void Outbound::on_local_result(std::uint32_t out, std::uint32_t generation, Ending ending,
                               Reason reason) {
  OutMessage& message = core_.outs[out];
  if (message.generation != generation || message.state != OutState::kLocal) {
    ++core_.counters.late_outcomes;
    return;
  }
  message.local_in = kNone;
  if (ending == Ending::kDone && reason == Reason::kReplyFollows) return await_reply(out);
  if (ending == Ending::kUnknown && reason == Reason::kNoConsumer) {
    message.maybe_handed = true;
    ending = Ending::kFailed;
  }
  if (ending == Ending::kFailed) return turned_away(out, reason);
  ended(out, ending, reason);
}

/// The request was processed; its answer comes as a message of its own.
void Outbound::await_reply(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  // Nobody is there to take an answer, or none can come.
  if ((message.header.flags & wire::kCall) == 0 || core_.channels[message.channel].removing)
    return ended(out, Ending::kDone, Reason::kNone);
  if (RW_MUTANT(109)) return ended(out, Ending::kDone, Reason::kNone);
  message.state = OutState::kAwaitReply;
  leave_chain(out);
}

void Outbound::abandon_calls(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  for (std::uint32_t out = channel.outstanding.front(); out != kNone;) {
    const std::uint32_t next = core_.outs[out].channel_link.next;
    if (core_.outs[out].state == OutState::kAwaitReply)
      ended(out, Ending::kDone, Reason::kNone);  // it was processed; its caller is gone
    out = next;
  }
}

void Outbound::turned_away(std::uint32_t out, Reason reason) {
  OutMessage& message = core_.outs[out];
  recall_newer(out);
  switch (reason) {
    case Reason::kNoConsumer:
    case Reason::kNotServing:
    case Reason::kShutdown:
    case Reason::kUnprocessed: {
      if (fixed(message)) {
        if (message.no_wait || message.parent != kNone || reason == Reason::kShutdown)
          return ended(out, Ending::kFailed, reason);
        return wait(out, reason, kRetryNs);
      }
      const ring::View* view = core_.view.get();
      if (view != nullptr) {
        const bool random =
            message.target == ipc::TargetKind::kRandom || view->type == ring::ClusterType::kRandom;
        if (random) {
          for (std::size_t at = 0; at < view->members.size(); ++at)
            if (view->members[at].node_index == message.node) message.tried |= tried_bit(at);
        } else {
          const auto replicas = view->replicas_of(message.slot);
          for (std::size_t rank = 0; rank < replicas.size(); ++rank)
            if (view->members[replicas[rank]].node_index == message.node)
              message.tried |= tried_bit(rank);
        }
      }
      message.state = OutState::kWaiting;
      if (message.chain_older != kNone) {
        // It may go only where its elder is: there again, but later.
        const OutMessage& elder = core_.outs[message.chain_older];
        if (active(elder) && elder.node == message.node) {
          message.tried = 0;
          return wait(out, reason, kRetryNs);
        }
      }
      const std::uint32_t node = choose(message);
      if (node != ipc::kNoNode) return send_to(out, node);
      message.tried = 0;
      return wait(out, reason, kRetryNs);
    }
    case Reason::kQueueFull:
    case Reason::kNoMemory:
      if (core_.config.reject_when_full || RW_MUTANT(98))
        return ended(out, Ending::kFailed, reason);
      return wait(out, reason, kRetryNs);
    case Reason::kStale:
      return ended(out, Ending::kUnknown, reason);
    default:
      return ended(out, Ending::kFailed, reason);
  }
}

void Outbound::complete_call(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  const bool with_session = message.state == OutState::kSending && !message.cancel_asked;
  if (!with_session) recall(out);
  ++core_.counters.done;
  --core_.counters.in_flight_now;
  message.counted = false;
  leave_chain(out);
  if (!with_session) return free(out);
  // The request's own result says nothing new, and comes when it likes; until then the session may
  // read the request.
  leave_books(out);
  if (RW_MUTANT(114)) return give_back(out);
  ++core_.channels[message.channel].replied;
  message.state = OutState::kReplied;
}

std::uint32_t Outbound::find_call(ChannelIndex channel, std::uint64_t sequence) const {
  const std::uint32_t out = core_.out_by_sequence.find(Core::sequence_key(channel, sequence));
  if (out == kNone) return kNone;
  const OutMessage& message = core_.outs[out];
  const bool open = message.state != OutState::kFree &&
                    (message.state != OutState::kEnded || RW_MUTANT(106)) &&
                    message.state != OutState::kParent;
  return open && message.channel == channel && message.header.id.sequence == sequence &&
                 (message.header.flags & wire::kCall) != 0
             ? out
             : kNone;
}

void Outbound::recall(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  switch (message.state) {
    case OutState::kWaiting:
      waiting_.remove(core_.outs, out);
      break;
    case OutState::kQueued: {
      Link& link = core_.links[message.queued_link];
      link.queue[message.service].remove(core_.outs, out);
      if (link.queue[message.service].empty())
        link.waiting_services &= ~(std::uint64_t{1} << message.service);
      break;
    }
    case OutState::kSending: {
      Flight& flight = core_.flights[message.flight];
      if (!RW_MUTANT(91)) flight.out = kNone;
      if (!message.cancel_asked) core_.links[flight.link_index].session->withdraw(flight.number);
      message.flight = kNone;
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
    const std::uint32_t link_index = core_.flights[message.flight].link_index;
    Link& link = core_.links[link_index];
    core_.flights[message.flight].out = kNone;
    link.session->withdraw(core_.flights[message.flight].number);
    message.flight = kNone;
    message.maybe_handed = true;
    message.header.flags |= wire::kRedelivered;
    message.state = OutState::kQueued;
    message.queued_link = link_index;
    ++message.attempt;
    ++core_.counters.retried;
    message.header.attempt = message.attempt;
    link.queue[message.service].push_front(core_.outs, at);
    link.waiting_services |= std::uint64_t{1} << message.service;
  }
}

void Outbound::ended(std::uint32_t out, Ending ending, Reason reason) {
  OutMessage& message = core_.outs[out];
  if (ending == Ending::kFailed && message.maybe_handed && !RW_MUTANT(89))
    ending = Ending::kUnknown;
  message.ending = ending;
  message.reason = reason;
  const bool was_here = is_here(message) && message.chain_newer != kNone;
  const std::uint64_t elder = was_here ? predecessor_of(message) : 0;
  leave_chain(out);
  // Its local successors may be held for it.
  if (was_here && ending != Ending::kDone && !RW_MUTANT(113))
    core_.inbound->elder_gone(core_.config.self, message.header.id, elder);
  if (message.parent != kNone) return child_ended(out);
  switch (ending) {
    case Ending::kDone:
      ++core_.counters.done;
      break;
    case Ending::kFailed:
      core_.counters.failed += RW_MUTANT(99) ? 0 : 1;
      break;
    case Ending::kUnknown:
      ++core_.counters.unknown;
      break;
  }
  --core_.counters.in_flight_now;
  message.counted = false;
  message.state = OutState::kEnded;
  message.link = {};
  Channel& channel = core_.channels[message.channel];
  channel.ended.push_back(core_.outs, out);
  core_.channels_part->touch(message.channel);
}

void Outbound::child_ended(std::uint32_t child) {
  OutMessage& message = core_.outs[child];
  const std::uint32_t at = message.parent;
  OutMessage& parent = core_.outs[at];
  message.state = OutState::kChildEnded;
  message.link = {};
  parent.children_ended.push_back(core_.outs, child);
  if (message.ending == Ending::kDone) ++parent.children_done;
  if (message.ending == Ending::kUnknown && !RW_MUTANT(101)) parent.maybe_handed = true;
  if (--parent.children_open != 0) return;
  const std::uint32_t wanted = parent.require == ipc::Require::kAll ? parent.children_count
                               : parent.require == ipc::Require::kOne
                                   ? 1
                                   : parent.children_count / 2 + (RW_MUTANT(100) ? 0 : 1);
  if (parent.children_done >= wanted) return ended(at, Ending::kDone, Reason::kNone);
  if (parent.children_done != 0) parent.maybe_handed = true;
  ended(at, Ending::kFailed, Reason::kRequirement);
}

bool Outbound::report(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  const auto record_of = [](const OutMessage& message) {
    ipc::OutcomeRecord record{};
    record.sequence = message.header.id.sequence;
    // A target is told by its name also when it never got there.
    record.node = message.parent != kNone || RW_MUTANT(111) ? message.fixed_node : message.node;
    record.ending = static_cast<std::uint8_t>(message.ending);
    record.reason = static_cast<std::uint8_t>(message.reason);
    record.level = static_cast<std::uint8_t>(message.ending == Ending::kDone ? message.header.level
                                                                             : Level::kNone);
    record.attempt = static_cast<std::uint8_t>(std::min<std::uint32_t>(message.attempt, 255));
    return record;
  };
  while (!channel.ended.empty()) {
    const std::uint32_t out = channel.ended.front();
    if (channel.removing) {  // nobody is there to be told
      channel.ended.pop_front(core_.outs);
      free(out);
      continue;
    }
    // A multi-target send tells its targets first, in the entries right before its own outcome.
    OutMessage& message = core_.outs[out];
    while (!message.children_ended.empty()) {
      ipc::Delivery* entry = channel.ipc->claim_delivery(core_.config.index);
      if (entry == nullptr) return false;
      channel.deliveries_dirty = true;
      entry->kind = static_cast<std::uint8_t>(ipc::DeliveryKind::kTargets);
      while (entry->count < ipc::kOutcomesPerDelivery && !message.children_ended.empty()) {
        const std::uint32_t child = message.children_ended.pop_front(core_.outs);
        const ipc::OutcomeRecord record = record_of(core_.outs[child]);
        std::memcpy(entry->inline_bytes + entry->count * sizeof record, &record, sizeof record);
        ++entry->count;
        core_.outs[child].state = OutState::kFree;
        core_.outs.give_back(child);
      }
    }
    ipc::Delivery* entry = channel.ipc->claim_delivery(core_.config.index);
    if (entry == nullptr) return false;
    channel.deliveries_dirty = true;
    entry->kind = static_cast<std::uint8_t>(ipc::DeliveryKind::kOutcomes);
    while (entry->count < ipc::kOutcomesPerDelivery && !channel.ended.empty()) {
      const std::uint32_t next = channel.ended.front();
      if (!core_.outs[next].children_ended.empty()) break;
      const ipc::OutcomeRecord record = record_of(core_.outs[next]);
      std::memcpy(entry->inline_bytes + entry->count * sizeof record, &record, sizeof record);
      ++entry->count;
      channel.ended.pop_front(core_.outs);
      free(next);
    }
  }
  return true;
}

void Outbound::free(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  while (!message.children_ended.empty()) {
    const std::uint32_t child = message.children_ended.pop_front(core_.outs);
    core_.outs[child].state = OutState::kFree;
    core_.outs.give_back(child);
  }
  leave_books(out);
  give_back(out);
}

/// Forget it as one of its channel's outstanding messages.
void Outbound::leave_books(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  core_.out_by_sequence.erase(Core::sequence_key(message.channel, message.header.id.sequence));
  core_.channels[message.channel].outstanding.remove(core_.outs, out);
}

void Outbound::give_back(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  if (message.file != 0)
    for (TransmitFile& file : core_.channels[message.channel].files)
      if (file.file == message.file) --file.users;
  message.state = OutState::kFree;
  core_.outs.give_back(out);
}

// ---- time and change ----------------------------------------------------------------------------

TimeNs Outbound::next_deadline_ns() const {
  return std::min(core_.deadlines.next_ns(), waiting_.empty() ? kNeverNs : retry_at_ns_);
}

void Outbound::reconsider() { reconsider_ = true; }

void Outbound::on_time() {
  while (core_.deadlines.next_ns() <= core_.now) {
    const Deadlines::Entry entry = core_.deadlines.pop();
    OutMessage& message = core_.outs[entry.index];
    if (message.generation != entry.generation || message.state == OutState::kEnded ||
        message.state == OutState::kReplied)
      continue;
    if (message.state == OutState::kParent) {
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
  if (!reconsider_ && core_.now < retry_at_ns_) return;
  const bool all = reconsider_;
  reconsider_ = false;
  retry_at_ns_ = kNeverNs;
  scratch_.clear();
  for (std::uint32_t at = waiting_.front(); at != kNone;
       at = IndexList<OutMessage>::next(core_.outs, at))
    scratch_.push_back(at);
  for (const std::uint32_t out : scratch_) {
    OutMessage& message = core_.outs[out];
    if (message.state != OutState::kWaiting) continue;
    if (message.retry_at_ns > core_.now && !all) {
      retry_at_ns_ = std::min(retry_at_ns_, message.retry_at_ns);
      continue;
    }
    waiting_.remove(core_.outs, out);
    message.state = OutState::kFree;
    route(out);
  }
}

void Outbound::evacuate(NodeIndex node, Moves moves) {
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
