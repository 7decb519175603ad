#include "engine/worker/outbound.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/inbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {

bool Outbound::take(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  // While draining, what a program has not yet got rid of stays with it: it submits it again to the
  // engine that comes next.
  if (channel.violated || (core_.draining && !channel.removing)) return false;
  // Evenly, to the power of two: many channels with much to send make no long turn.
  const std::uint32_t most =
      std::clamp(kSubmissionsPerTurn >> std::bit_width(core_.active.size() - 1),
                 kLeastSubmissionsPerChannelTurn, kSubmissionsPerChannelTurn);
  bool any = false;
  for (std::uint32_t count = 0; count < most; ++count) {
    if (!channel.has_stash) {
      if (channel.open_count() + channel.lent >= kMaxOutstandingPerChannel) break;
      if (core_.outs.free_count() == 0) break;
      const std::byte* const inline_bytes = channel.ipc->peek_submission(channel.stash);
      if (inline_bytes == nullptr) break;
      channel.ipc->skip_submission();
      if (core_.short_way->take(index, channel.stash, inline_bytes)) {
        any = true;
        continue;
      }
      ipc::copy_once(channel.stash.inline_bytes, inline_bytes,
                     ipc::used_inline_bytes(channel.stash));
      // A program that is gone left at most a queue full; one that goes on writing ends here.
      if (channel.removing && ++channel.taken_removing > ipc::kMaxQueueEntries) {
        core_.channels_part->violate(index);
        break;
      }
      any = true;
    }
    last_run_ = kNone;
    const Taken taken = accept(index, channel.stash);
    channel.has_stash = taken == Taken::kNoRoom;
    if (taken == Taken::kNoRoom) break;
    any = true;
    if (last_run_ != kNone) count += take_along(index, last_run_, most - count - 1);
    if (taken == Taken::kWalked) break;
    if (taken == Taken::kBad) {
      ++core_.counters.bad_submissions;
      core_.channels_part->violate(index);
      break;
    }
  }
  if (any) channel.ipc->publish_submissions();
  core_.short_way->show_last();
  if (channel.ipc->violated()) core_.channels_part->violate(index);
  return any;
}

Outbound::Taken Outbound::accept(ChannelIndex index, const ipc::Submission& submission) {
  Channel& channel = core_.channels[index];
  if ((submission.flags & ipc::kSubmitCancel) != 0) {
    enlist(index);
    return cancel(index, submission.sequence);
  }
  if (submission.sequence < channel.next_sequence || submission.sequence > kMaxSequence)
    return Taken::kBad;
  if (take_run(index, submission)) return Taken::kTaken;
  // Those that may be its elders get their places in its order before it.
  const auto target = static_cast<ipc::TargetKind>(submission.target);
  if (target != ipc::TargetKind::kOrigin && target != ipc::TargetKind::kRandom) enlist(index);
  if (!has_share(channel, (submission.flags & ipc::kSubmitReply) != 0)) return Taken::kNoRoom;
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
  core_.outs_of[channel.domain] += 1 + message.children_count;
  ++core_.counters.taken;
  ++core_.counters.in_flight_now;
  message.counted = true;
  if (message.file != 0)
    for (TransmitFile& file : channel.files)
      if (file.file == message.file) ++file.users;
  channel.outstanding.push_back(core_.outs, out);
  core_.out_by_sequence.put(core_.sequence_key(index, submission.sequence), out);
  if (message.deadline_ns != 0) add_deadline(out);
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

void Outbound::add_deadline(std::uint32_t out) {
  if (core_.deadlines.full())
    core_.deadlines.sweep([this](const Deadlines::Entry& entry) { return stale(entry); });
  const OutMessage& message = core_.outs[out];
  core_.deadlines.add({message.deadline_ns, out, message.generation});
}

/// Whether one more record is within what the channel, and its user, may have.
bool Outbound::has_share(const Channel& channel, bool reply) const {
  // Replies have room of their own: else calls that wait for them could keep them out for ever.
  const std::uint32_t kept = reply ? 0 : core_.outs.capacity() / kReplyShare;
  const std::uint32_t free = core_.outs.free_count();
  if (free <= kept) return false;
  const std::uint32_t has = channel.open_count();
  // With three quarters free, nobody has more than is left.
  if (has == 0 || free > core_.outs.capacity() - core_.outs.capacity() / 4) return true;
  const std::uint32_t first = core_.outs.capacity() / kFirstShare;
  const std::uint32_t left = free - kept > first ? free - kept - first : 0;
  return has < kChannelPerLeft * left &&
         (has < kModestRecords || core_.outs_of[channel.domain] < kUserPerLeft * left);
}

bool Outbound::fill(Channel& channel, const ipc::Submission& submission, OutMessage& message) {
  using ipc::TargetKind;
  const auto target = static_cast<TargetKind>(submission.target);
  if (submission.target < 1 || submission.target > 6) return false;
  if (submission.level > 2 || submission.require > 2) return false;
  if (submission.service >= core_.services.size()) return false;
  if (submission.key_bytes > kMaxKeyBytes) return false;
  std::memcpy(message.bytes.data(), submission.inline_bytes, ipc::used_inline_bytes(submission));
  // A call has one answer, so one target.
  if ((submission.flags & ipc::kSubmitCall) != 0 &&
      (target == TargetKind::kBroadcast || target == TargetKind::kReplicas))
    return false;
  message.target = target;
  message.require = static_cast<ipc::Require>(submission.require);
  message.no_wait = (submission.flags & ipc::kSubmitNoWait) != 0;
  message.share = (submission.flags & ipc::kSubmitShare) != 0;
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
    if (token.seal != core_.origin_seal(token)) message.reason = Reason::kOriginGone;
    // Of a message that was no call: what its sequence names was not sealed.
    if (token.flags == 0 && (submission.flags & ipc::kSubmitReply) != 0)
      message.reason = Reason::kOriginGone;
    header.in_reply_to = {
        {token.attachment_high, token.attachment_low}, token.channel, token.sequence};
    header.flags |= (submission.flags & ipc::kSubmitReply) != 0 ? wire::kReply : wire::kToOrigin;
    message.fixed_node = token.node;
    message.fixed_worker = token.home_worker;
    used = sizeof token;
  } else if (target == TargetKind::kNode) {
    // It named one that the engine before us knew.
    if (submission.node == ipc::kNoNode) message.reason = Reason::kNoNode;
    if (submission.node >= ipc::kMaxNodes && message.reason == Reason::kNone) return false;
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

Outbound::Taken Outbound::cancel(ChannelIndex index, std::uint64_t sequence) {
  const std::uint32_t out = core_.out_by_sequence.find(core_.sequence_key(index, sequence));
  if (out == kNone || core_.outs[out].channel != index) return Taken::kTaken;
  if (core_.outs[out].state != OutState::kParent) {
    cancel_one(out);
    return Taken::kTaken;
  }
  for (std::uint32_t child = 0; child < core_.outs.capacity(); ++child)
    if (core_.outs[child].state != OutState::kFree && core_.outs[child].parent == out)
      cancel_one(child);
  return Taken::kWalked;
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
        withdraw(message, Result::kAwaited);
        message.cancel_asked = true;
        recall_newer(out);
        if (RW_MUTANT(105)) {
          withdraw(message, Result::kForgotten);
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

}  // namespace ringwire::worker
