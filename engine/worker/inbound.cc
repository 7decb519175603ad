#include "engine/worker/inbound.h"

#include <algorithm>
#include <cstring>

#include "base/mutant.h"
#include "base/touched.h"
#include "engine/worker/channels.h"
#include "engine/worker/groups.h"
#include "engine/worker/outbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {
namespace {

bool handed_out(const InMessage& message) { return message.deliveries != 0; }

}  // namespace

Inbound::Inbound(Core& core) : core_(core) {
  reserve_touched(copying_, core.config.in_messages);
  reserve_touched(woken_, core.config.in_messages);
}

/// The message that a session speaks of; kNone when that is over here.
std::uint32_t Inbound::find_tagged(std::uint32_t link_index, const transport::Event& event) const {
  const std::uint32_t in = event.cookie;
  if (in == transport::Session::kNoTag) return kNone;
  const InMessage& message = core_.ins[in];
  const bool same = message.state != InState::kFree && !message.local &&
                    message.link_index == link_index && message.number == event.number;
  return same ? in : kNone;
}

std::uint32_t Inbound::find(const MessageId& id, std::uint64_t key) const {
  const std::uint32_t in = core_.in_by_identity.find(key);
  return in != kNone && core_.ins[in].header.id == id ? in : kNone;
}

NodeIndex Inbound::node_of(const Source& source) const {
  return source.link_index == kNone ? core_.config.self : core_.links[source.link_index].node;
}

void Inbound::on_events(std::uint32_t link_index, transport::EventBatch& events) {
  using transport::EventKind;
  for (const transport::Event& event : events.all()) {
    core_.worked = true;
    switch (event.kind) {
      case EventKind::kMessage:
        on_message({link_index, event.number, kNone}, event.header, event.payload.data(), true);
        break;
      case EventKind::kOpen:
        on_message({link_index, event.number, kNone}, event.header, nullptr, false);
        break;
      case EventKind::kComplete:
        if (const std::uint32_t in = find_tagged(link_index, event);
            in != kNone && core_.ins[in].state == InState::kReceiving)
          on_whole(in);
        break;
      case EventKind::kWithdrawn:
        if (const std::uint32_t in = find_tagged(link_index, event); in != kNone) {
          const InMessage& message = core_.ins[in];
          if ((!handed_out(message) || RW_MUTANT(71)) && !message.settled) {
            const NodeIndex node = message.origin_node;
            const wire::MessageHeader header = message.header;
            finish(in, Ending::kFailed, Reason::kCancelled);
            withdrawn(node, header.id, header.predecessor);
          }
        }
        break;
      case EventKind::kNeverCame:
        never_came(core_.links[link_index].node, event.header);
        break;
      case EventKind::kResult:
        core_.outbound->on_result(event.cookie, event.ending, event.reason);
        break;
      case EventKind::kSent:
        core_.outbound->on_sent(event.cookie);
        break;
      case EventKind::kRun:
        on_run(link_index, event);
        break;
      case EventKind::kRunWithdrawn:
        on_run_withdrawn(link_index, event);
        break;
      case EventKind::kRunResult:
        core_.outbound->on_run_result(event);
        break;
      case EventKind::kCredit:
      case EventKind::kClosed:
        break;  // outbound is pumped each turn; the worker sees the closed session itself
    }
  }
}

// ---- arrival ------------------------------------------------------------------------------------

void Inbound::say(const Source& source, const wire::MessageHeader& header, bool whole,
                  Ending ending, Reason reason) {
  if (source.link_index == kNone) {
    core_.outbound->on_local_result(source.out, core_.outs[source.out].generation, ending, reason);
    return;
  }
  if (source.run != kNone) {
    if (header.level != Level::kNone) settle_in_run(source.run, source.run_index, ending, reason);
    return leave_run(source.run, source.run_index);
  }
  transport::Session& session = *core_.links[source.link_index].session;
  if (!whole && ending == Ending::kFailed) {
    session.refuse(source.number, reason);
    return;
  }
  if (header.level != Level::kNone) session.settle(source.number, ending, reason);
  session.release(source.number);
}

void Inbound::turn_away(const Source& source, const wire::MessageHeader& header, bool whole,
                        Reason reason) {
  const MessageId id = header.id;
  const std::uint64_t predecessor = header.predecessor;
  // At level none its sender takes the arrival for the end and never sends it again: nobody may
  // wait for it.
  const bool for_good = source.link_index != kNone && whole && header.level == Level::kNone;
  const NodeIndex node = node_of(source);
  say(source, header, whole, Ending::kFailed, reason);
  if (for_good) passed_over(node, id, predecessor);
}

/// Index of the service that it is for, kMaxServices if nobody here ever named it.
std::uint16_t Inbound::service_of(const Source& source, const wire::MessageHeader& header) const {
  if (source.out != kNone) return core_.outs[source.out].service;
  if (source.run != kNone) return core_.in_runs[source.run].service;
  return service_named(header.service);
}

std::uint16_t Inbound::service_named(std::string_view service) const {
  const auto name = std::find(core_.services.begin(), core_.services.end(), service);
  return name == core_.services.end() ? static_cast<std::uint16_t>(kMaxServices)
                                      : static_cast<std::uint16_t>(name - core_.services.begin());
}

void Inbound::on_message(const Source& source, const wire::MessageHeader& header,
                         const std::byte* payload, bool whole) {
  DomainIndex domain = 0;
  std::uint16_t service = 0;
  if (to_channel(header)) {
    const ChannelIndex channel =
        core_.channels_part->find(header.in_reply_to.attachment, header.in_reply_to.channel);
    const bool wanted = channel != kNone && !core_.channels[channel].removing &&
                        ((header.flags & wire::kReply) == 0 ||
                         core_.outbound->find_call(channel, header.in_reply_to.sequence) != kNone);
    if (!wanted) return turn_away(source, header, whole, Reason::kOriginGone);
    // What is sent to somebody that does not listen fills at most half of the records.
    if (core_.channels[channel].backlog.count() >= core_.ins.free_count())
      return turn_away(source, header, whole, Reason::kQueueFull);
    domain = core_.channels[channel].domain;
  } else {
    if (!core_.config.server) return turn_away(source, header, whole, Reason::kNotServing);
    if (core_.draining) return turn_away(source, header, whole, Reason::kShutdown);
    service = service_of(source, header);
    if (service == kMaxServices) return turn_away(source, header, whole, Reason::kNoConsumer);
    if (!core_.groups->admits(service, header.payload_bytes, (header.flags & wire::kNoWait) != 0) &&
        !(may_drop(header) && core_.groups->make_room(service, header.payload_bytes)))
      return turn_away(source, header, whole, Reason::kNoConsumer);
    domain = core_.groups->domain(service);
  }

  const Seen seen = core_.windows.look(node_of(source), header.id);
  // It may be here in a run that is whole, where the tables do not know it.
  if (seen == Seen::kQueued && !RW_MUTANT(158)) core_.groups->all_runs_apart();
  switch (seen) {
    case Seen::kStale:
      ++core_.counters.stale;
      return whole ? say(source, header, whole, Ending::kUnknown, Reason::kStale)
                   : turn_away(source, header, whole, Reason::kStale);
    case Seen::kDone:
      ++core_.counters.duplicates;
      // A call comes again because its reply was lost with a session or an engine: only a program
      // can answer it, so it is handed out once more, flagged. Anything else is done as it was.
      if ((header.flags & wire::kCall) == 0 || RW_MUTANT(64))
        return say(source, header, true, Ending::kDone, Reason::kNone);
      break;
    case Seen::kQueued:
    case Seen::kNever:
    case Seen::kGivenUp:
      break;
  }
  const std::uint64_t identity = core_.identity_key(header.id);
  if (const std::uint32_t first = find(header.id, identity); first != kNone) {
    ++core_.counters.duplicates;
    InMessage& known = core_.ins[first];
    if (known.state == InState::kReceiving) {
      if (RW_MUTANT(72)) return turn_away(source, header, whole, Reason::kCancelled);
      drop(first);  // the newer attempt is the one that its sender still pursues
    } else if (is_late(known, source, header) && !RW_MUTANT(159)) {
      return say(source, header, whole, Ending::kFailed, Reason::kCancelled);
    } else if (whole) {
      return take_over(first, source, header);
    } else {
      // Its bytes are here already. The sender asks again until the first copy has ended.
      return turn_away(source, header, whole, Reason::kQueueFull);
    }
  }

  if (!to_channel(header) && !has_room(service, domain) &&
      !(may_drop(header) && core_.groups->drop_oldest(service) && has_room(service, domain)))
    return turn_away(source, header, whole, Reason::kQueueFull);
  const std::uint32_t in = core_.ins.take();
  if (in == kNone) return turn_away(source, header, whole, Reason::kQueueFull);
  if (!to_channel(header)) ++in_use_[service];
  InMessage& message = core_.ins[in];
  message.state = InState::kReceiving;
  message.header = header;
  message.header.key = {};
  message.header.service = {};
  message.key_bytes = static_cast<std::uint16_t>(header.key.size());
  message.service = service;
  message.domain = domain;
  message.order_none = (header.flags & wire::kOrderNone) != 0;
  attach_source(in, source);
  message.identity_key = identity;
  core_.in_by_identity.put(identity, in);
  if (!place(in, header.key.data(), payload, whole)) {
    const wire::MessageHeader kept = message.header;
    detach_source(in);
    core_.in_by_identity.erase(identity);
    give_back(in);
    return turn_away(source, kept, whole, Reason::kNoMemory);
  }
  if (message.state == InState::kReceiving && whole && message.large_request == 0 &&
      message.copied_bytes == header.payload_bytes)
    on_whole(in);
}

/// A lost run is repeated until it has come (W-77), also when a message of it was called back and
/// sent again by itself meanwhile: the second attempt can be here first, and is what counts.
/// Only in one session: a sender that was started anew counts attempts anew.
bool Inbound::is_late(const InMessage& known, const Source& source,
                      const wire::MessageHeader& header) const {
  return source.run != kNone && known.run == kNone && known.link_index == source.link_index &&
         known.link_epoch == core_.links[source.link_index].session_epoch &&
         header.attempt < known.header.attempt;
}

void Inbound::attach_source(std::uint32_t in, const Source& source) {
  InMessage& message = core_.ins[in];
  message.local = source.link_index == kNone;
  message.link_index = source.link_index;
  message.number = source.number;
  message.out = source.out;
  if (message.local) {
    message.out_generation = core_.outs[source.out].generation;
    message.origin_node = core_.config.self;
    message.origin_worker = static_cast<std::uint16_t>(core_.config.index);
    core_.outs[source.out].local_in = in;
    return;
  }
  const Link& link = core_.links[source.link_index];
  message.link_epoch = link.session_epoch;
  message.origin_node = link.node;
  message.origin_worker = static_cast<std::uint16_t>(link.remote_worker);
  message.run = source.run;
  message.run_index = source.run_index;
  if (source.run == kNone)
    link.session->tag(source.number, in);
  else
    core_.in_runs[source.run].ins[source.run_index] = in;
}

void Inbound::detach_source(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.local) {
    if (message.out != kNone && core_.outs[message.out].generation == message.out_generation &&
        core_.outs[message.out].local_in == in)
      core_.outs[message.out].local_in = kNone;
    message.out = kNone;
  }
  if (message.run != kNone) leave_run(message.run, message.run_index);
  message.run = kNone;
  message.local = false;
  message.link_index = kNone;
}

/// The same message again, whole, while the first copy is queued or with a program: the newer
/// attempt is the one that will be answered; the older one is told that it was superseded.
void Inbound::take_over(std::uint32_t in, const Source& source, const wire::MessageHeader& header) {
  InMessage& message = core_.ins[in];
  const bool was_held = message.state == InState::kHeld;
  if (was_held) leave_hold(in);
  const bool was_settled = message.settled;
  if (!message.settled) settle(in, Ending::kFailed, Reason::kCancelled);
  if (!message.local && message.link_index != kNone && message.run == kNone) {
    Link& link = core_.links[message.link_index];
    if (link.session_epoch == message.link_epoch && link.session)
      link.session->release(message.number);
  }
  detach_source(in);
  message.settled = false;
  message.header.attempt = header.attempt;
  message.header.predecessor = header.predecessor;
  message.redelivered |= (header.flags & wire::kRedelivered) != 0;
  if (RW_MUTANT(63)) return;
  attach_source(in, source);
  if (was_held) return on_whole(in);
  if (was_settled || header.level == Level::kAccepted) settle(in, Ending::kDone, Reason::kNone);
}

// ---- ends ---------------------------------------------------------------------------------------

void Inbound::settle(std::uint32_t in, Ending ending, Reason reason) {
  InMessage& message = core_.ins[in];
  if (message.settled) return;
  message.settled = true;
  if (message.local) {
    if (message.out != kNone)
      core_.outbound->on_local_result(message.out, message.out_generation, ending, reason);
    return;
  }
  if (message.link_index == kNone || message.header.level == Level::kNone) return;
  if (message.run != kNone) return settle_in_run(message.run, message.run_index, ending, reason);
  Link& link = core_.links[message.link_index];
  if (link.session_epoch != message.link_epoch || link.session == nullptr) return;
  link.session->settle(message.number, ending, reason);
}

void Inbound::return_credit(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.local || message.link_index == kNone) return;
  if (message.run != kNone) return detach_source(in);
  const Link& link = core_.links[message.link_index];
  if (link.session_epoch == message.link_epoch && link.session != nullptr)
    link.session->release(message.number);
  detach_source(in);
}

void Inbound::finish(std::uint32_t in, Ending ending, Reason reason) {
  InMessage& message = core_.ins[in];
  const MessageId id = message.header.id;
  if (message.state == InState::kHeld) leave_hold(in);
  if (message.state == InState::kQueued || message.state == InState::kAtConsumer)
    core_.groups->forget(in);
  if (message.state == InState::kBacklog)
    core_.channels[message.channel].backlog.remove(core_.ins, in);
  // What its sender will send again (and recall all after it) is as if it never came; otherwise
  // those that name it as their predecessor need not wait for it any more.
  const bool comes_again = ending == Ending::kFailed && reason != Reason::kTooLarge;
  const Seen seen = ending == Ending::kDone         ? (RW_MUTANT(66) ? Seen::kQueued : Seen::kDone)
                    : comes_again && !RW_MUTANT(65) ? Seen::kNever
                                                    : Seen::kGivenUp;
  core_.windows.mark(message.origin_node, id, seen);
  settle(in, ending, reason);
  drop(in);
  if (!comes_again) wake_waiters(id);
}

void Inbound::drop(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.large_request != 0) {
    core_.outbox.tell(CancelLarge{message.large_request});
    --large_waiting_;
  }
  if (message.local) std::erase(copying_, in);
  if (message.run != kNone) {
    if (!message.settled && message.header.level != Level::kNone)
      settle_in_run(message.run, message.run_index, Ending::kFailed, Reason::kCancelled);
  } else if (!message.local && message.link_index != kNone) {
    Link& link = core_.links[message.link_index];
    if (link.session_epoch == message.link_epoch && link.session != nullptr) {
      if (!message.settled && message.header.level != Level::kNone)
        link.session->settle(message.number, Ending::kFailed, Reason::kCancelled);
      link.session->release(message.number);
    }
  }
  detach_source(in);
  core_.in_by_identity.erase(message.identity_key, in);
  if (!RW_MUTANT(68)) core_.end_use(in, {message.domain, message.extent, message.lender});
  core_.end_use(in, {message.domain, message.key_extent});
  core_.give_back(message.moving_domain, message.moving);
  give_back(in);
}

void Inbound::give_back(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  core_.groups->lose_token(message);
  if (!to_channel(message.header)) --in_use_[message.service];
  if (message.alias != kNone) core_.short_way->forget_moved(message.alias);
  message.state = InState::kFree;
  core_.ins.give_back(in);
  ++core_.came_back_since_full;
}

/// An older one of its service may give way to it.
bool Inbound::may_drop(const wire::MessageHeader& header) const {
  return core_.config.drop_oldest && header.level == Level::kNone &&
         (header.flags & wire::kNoWait) == 0;
}

/// Of the records an eighth is kept for replies, so that who waits for the answer of another node
/// cannot keep that out. Of the others one service has at most as many as are left, and the
/// services of one user at most kUserPerLeft times that.
bool Inbound::has_room(std::uint16_t service, DomainIndex domain) const {
  const std::uint32_t all = core_.ins.capacity();
  const std::uint32_t free = core_.ins.free_count();
  if (free <= all / 8) return false;
  // With three quarters free, nobody has more than is left.
  if (in_use_[service] == 0 || free > all - all / 4) return true;
  const std::uint32_t first = all / kFirstShare;
  const std::uint32_t left = free - all / 8 > first ? free - all / 8 - first : 0;
  if (in_use_[service] >= left) return false;
  // With half of all free, no user has so many.
  if (in_use_[service] < kModestRecords || free > all / 2) return true;
  std::uint64_t of_user = 0;
  for (std::uint16_t other = 0; other < core_.services.size(); ++other)
    if (core_.groups->domain(other) == domain) of_user += in_use_[other];
  return of_user < std::uint64_t{kUserPerLeft} * left;
}

void Inbound::on_session_gone(std::uint32_t link_index) {
  drop_held_runs(link_index);
  core_.groups->all_runs_apart();
  for (std::uint32_t in = 0; in < core_.ins.capacity(); ++in) {
    InMessage& message = core_.ins[in];
    if (message.state == InState::kFree || message.local || message.link_index != link_index)
      continue;
    if (message.state == InState::kReceiving) {
      if (!RW_MUTANT(67)) drop(in);
    } else if (message.state == InState::kHeld) {
      leave_hold(in);  // its sender sends it again, with what it waits for
      drop(in);
    } else {
      detach_source(in);  // with us whole: it goes to a program, and a later copy takes its place
    }
  }
}

// ---- local --------------------------------------------------------------------------------------

void Inbound::deliver_local(std::uint32_t out) {
  OutMessage& message = core_.outs[out];
  on_message({kNone, {}, out}, message.header, message.payload, true);
}

bool Inbound::cancel_local(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (handed_out(message) && !RW_MUTANT(70)) {
    detach_source(in);
    return false;
  }
  message.settled = true;  // its sender knows
  finish(in, Ending::kFailed, Reason::kCancelled);
  return true;
}

}  // namespace ringwire::worker
