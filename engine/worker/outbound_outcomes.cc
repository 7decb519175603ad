#include "engine/worker/outbound.h"

#include <algorithm>
#include <cstring>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/inbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {

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
    core_.channels_part->touch(message.channel);  // a channel that is removed may wait for it
    return give_back(out);
  }
  on_ending(out, ending, reason);
}

/// What was with a session is not any more.
void Outbound::on_ending(std::uint32_t out, Ending ending, Reason reason) {
  OutMessage& message = core_.outs[out];
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
  if (ending == Ending::kFailed && reason == Reason::kNone) {
    // W-74: one before it in its channel's runs came back.
    if (message.cancel_asked) return ended(out, ending, Reason::kCancelled);
    recall_newer(out);
    message.state = OutState::kFree;
    return route(out);
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
  enlist(index);
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
      if (reason == Reason::kQueueFull && is_here(message)) {
        if (!local_full_) core_.came_back_since_full = 0;
        local_full_ = true;
      }
      return wait(out, reason, kRetryNs);
    case Reason::kStale:
      return ended(out, Ending::kUnknown, reason);
    default:
      return ended(out, Ending::kFailed, reason);
  }
}

void Outbound::complete_call(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  // An answer to an earlier attempt says nothing of this one, which may be lost, and which nobody
  // needs: it is called back, and those that name it go again without it.
  const bool with_session = message.state == OutState::kSending && !message.cancel_asked &&
                            (!message.maybe_handed || RW_MUTANT(163));
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

void Outbound::on_memory_back(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  --core_.lent_messages;
  if (--message.lent != 0 || message.state != OutState::kLent) return;
  --lent_;
  message.state = OutState::kMemoryFree;
  message.link = {};
  core_.channels[message.channel].ended.push_back(core_.outs, out);
  core_.channels_part->touch(message.channel);
}

std::uint32_t Outbound::find_call(ChannelIndex channel, std::uint64_t sequence) {
  const std::uint64_t key = core_.sequence_key(channel, sequence);
  std::uint32_t out = core_.out_by_sequence.find(key);
  if (out == kNone) return kNone;
  if ((out & kShortBit) != 0) {
    core_.short_way->make_ordinary(out & ~kShortBit);
    out = core_.out_by_sequence.find(key);
  }
  const OutMessage& message = core_.outs[out];
  const bool open = message.state != OutState::kFree &&
                    (message.state != OutState::kEnded || RW_MUTANT(106)) &&
                    message.state != OutState::kParent;
  return open && message.channel == channel && message.header.id.sequence == sequence &&
                 (message.header.flags & wire::kCall) != 0
             ? out
             : kNone;
}

void Outbound::ended(std::uint32_t out, Ending ending, Reason reason) {
  OutMessage& message = core_.outs[out];
  if (ending == Ending::kFailed && message.maybe_handed && !RW_MUTANT(89))
    ending = Ending::kUnknown;
  message.ending = ending;
  message.reason = reason;
  const bool was_here = message.chain_newer != kNone && is_here(message);
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

ipc::Delivery* Outbound::claim_records(Channel& channel, ipc::DeliveryKind kind) {
  ipc::Delivery* entry = channel.ipc->claim_delivery(core_.config.index);
  if (entry == nullptr) return nullptr;
  channel.deliveries_dirty = true;
  std::memset(entry, 0, offsetof(ipc::Delivery, origin));  // of which a program reads no more
  entry->kind = static_cast<std::uint8_t>(kind);
  return entry;
}

bool Outbound::tell_now(ChannelIndex index, const ipc::OutcomeRecord& record) {
  Channel& channel = core_.channels[index];
  if (channel.outcomes == nullptr) {
    channel.outcomes = claim_records(channel, ipc::DeliveryKind::kOutcomes);
    if (channel.outcomes == nullptr) return false;
    core_.channels_part->touch(index);
    core_.worked = true;
  }
  ipc::Delivery& entry = *channel.outcomes;
  std::memcpy(entry.inline_bytes + entry.count * sizeof record, &record, sizeof record);
  if (++entry.count == ipc::kOutcomesPerDelivery) channel.outcomes = nullptr;
  return true;
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
    if (message.lent != 0) record.level |= ipc::kLevelMemoryKept;
    if (message.state == OutState::kMemoryFree) record.ending = ipc::kEndingMemoryFree;
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
      ipc::Delivery* entry = claim_records(channel, ipc::DeliveryKind::kTargets);
      if (entry == nullptr) return false;
      std::uint8_t count = 0;
      while (count < ipc::kOutcomesPerDelivery && !message.children_ended.empty()) {
        const std::uint32_t child = message.children_ended.pop_front(core_.outs);
        const ipc::OutcomeRecord record = record_of(core_.outs[child]);
        std::memcpy(entry->inline_bytes + count++ * sizeof record, &record, sizeof record);
        give_back_child(child);
      }
      entry->count = count;
    }
    ipc::Delivery* entry = claim_records(channel, ipc::DeliveryKind::kOutcomes);
    if (entry == nullptr) return false;
    std::uint8_t count = 0;
    while (count < ipc::kOutcomesPerDelivery && !channel.ended.empty()) {
      const std::uint32_t next = channel.ended.front();
      if (!core_.outs[next].children_ended.empty()) break;
      const ipc::OutcomeRecord record = record_of(core_.outs[next]);
      std::memcpy(entry->inline_bytes + count++ * sizeof record, &record, sizeof record);
      channel.ended.pop_front(core_.outs);
      free(next);
    }
    entry->count = count;
  }
  return true;
}

void Outbound::free(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  while (!message.children_ended.empty()) {
    give_back_child(message.children_ended.pop_front(core_.outs));
  }
  if (message.state == OutState::kMemoryFree) {
    --core_.channels[message.channel].lent;
  } else {
    leave_books(out);
  }
  give_back(out);
}

/// Forget it as one of its channel's outstanding messages.
void Outbound::leave_books(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  Channel& channel = core_.channels[message.channel];
  core_.out_by_sequence.erase(core_.sequence_key(message.channel, message.header.id.sequence));
  channel.outstanding.remove(core_.outs, out);
}

void Outbound::give_back(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  if (message.lent != 0) {
    message.state = OutState::kLent;
    message.link = {};
    ++core_.channels[message.channel].lent;
    ++lent_;
    return;
  }
  if (message.file != 0)
    for (TransmitFile& file : core_.channels[message.channel].files)
      if (file.file == message.file) --file.users;
  message.state = OutState::kFree;
  --core_.outs_of[core_.channels[message.channel].domain];
  core_.outs.give_back(out);
}

void Outbound::give_back_child(std::uint32_t child) {
  OutMessage& message = core_.outs[child];
  message.state = OutState::kFree;
  --core_.outs_of[core_.channels[message.channel].domain];
  core_.outs.give_back(child);
}

}  // namespace ringwire::worker
