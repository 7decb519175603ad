#include "engine/worker/inbound.h"

#include <algorithm>
#include <cstring>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/groups.h"
#include "engine/worker/outbound.h"

namespace ringwire::worker {
namespace {

/// Bytes before the payload in an extent: the key, rounded up so that the payload is aligned to 64.
std::uint32_t key_room_for(std::size_t key_bytes) {
  return static_cast<std::uint32_t>((key_bytes + 63) / 64 * 64);
}

bool to_channel(const wire::MessageHeader& header) {
  return (header.flags & (wire::kReply | wire::kToOrigin)) != 0;
}

/// InMessage::copied_bytes of a message that is whole and was counted.
constexpr std::uint64_t kCounted = ~std::uint64_t{0};

/// So long may none of those that wait for large memory get it before what holds some is sent back.
constexpr DurationNs kLargePatienceNs = 100 * kMillisecondNs;

/// Of holds that are looked at each time: the rest has its turn 20 ms later.
constexpr std::uint32_t kHoldsPerPass = 256;

bool handed_out(const InMessage& message) { return message.deliveries != 0; }

}  // namespace

Inbound::Inbound(Core& core) : core_(core) { copying_.reserve(core.config.in_messages); }

std::uint32_t Inbound::find_number(std::uint32_t link_index,
                                   transport::MessageNumber number) const {
  const std::uint32_t in = core_.in_by_number.find(Core::number_key(link_index, number));
  if (in == kNone) return kNone;
  const InMessage& message = core_.ins[in];
  return message.link_index == link_index && message.number == number ? in : kNone;
}

std::uint32_t Inbound::find(const MessageId& id) const {
  const std::uint32_t in = core_.in_by_identity.find(Core::identity_key(id));
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
        if (const std::uint32_t in = find_number(link_index, event.number);
            in != kNone && core_.ins[in].state == InState::kReceiving)
          on_whole(in);
        break;
      case EventKind::kWithdrawn:
        if (const std::uint32_t in = find_number(link_index, event.number); in != kNone) {
          const InMessage& message = core_.ins[in];
          if ((!handed_out(message) || RW_MUTANT(71)) && !message.settled)
            finish(in, Ending::kFailed, Reason::kCancelled);
        }
        break;
      case EventKind::kResult:
        core_.outbound->on_result(event.cookie, event.ending, event.reason);
        break;
      case EventKind::kSent:
        core_.outbound->on_sent(event.cookie);
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
  if (for_good) elder_gone(node, id, predecessor);
}

void Inbound::elder_gone(NodeIndex node, const MessageId& id, std::uint64_t predecessor) {
  if (core_.windows.look(node, id) == Seen::kNever) core_.windows.mark(node, id, Seen::kGivenUp);
  // Who waited for it waits now for what it waited for itself.
  if (RW_MUTANT(62)) return;
  const std::uint64_t key = Core::identity_key(id);
  std::uint32_t at = core_.held_by_predecessor.find(key);
  if (at == kNone) return;
  core_.held_by_predecessor.erase(key);
  while (at != kNone) {
    InMessage& message = core_.ins[at];
    const std::uint32_t next = message.next_waiter;
    unlist(at);
    message.header.predecessor = predecessor;
    on_whole(at);
    at = next;
  }
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
    domain = core_.channels[channel].domain;
  } else {
    if (!core_.config.server) return turn_away(source, header, whole, Reason::kNotServing);
    if (core_.draining) return turn_away(source, header, whole, Reason::kShutdown);
    const auto name = std::find(core_.services.begin(), core_.services.end(), header.service);
    if (name == core_.services.end()) return turn_away(source, header, whole, Reason::kNoConsumer);
    service = static_cast<std::uint16_t>(name - core_.services.begin());
    if (!core_.groups->admits(service, header.payload_bytes, (header.flags & wire::kNoWait) != 0))
      return turn_away(source, header, whole, Reason::kNoConsumer);
    domain = core_.groups->domain(service);
  }

  switch (core_.windows.look(node_of(source), header.id)) {
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
  if (const std::uint32_t first = find(header.id); first != kNone) {
    ++core_.counters.duplicates;
    InMessage& known = core_.ins[first];
    if (known.state == InState::kReceiving) {
      if (RW_MUTANT(72)) return turn_away(source, header, whole, Reason::kCancelled);
      drop(first);  // the newer attempt is the one that its sender still pursues
    } else if (whole) {
      return take_over(first, source, header);
    } else {
      // Its bytes are here already. The sender asks again until the first copy has ended.
      return turn_away(source, header, whole, Reason::kQueueFull);
    }
  }

  if (!to_channel(header) && !has_room(service))
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
  const std::uint64_t identity = Core::identity_key(header.id);
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
  core_.in_by_number.put(Core::number_key(source.link_index, source.number), in);
}

void Inbound::detach_source(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.local) {
    if (message.out != kNone && core_.outs[message.out].generation == message.out_generation &&
        core_.outs[message.out].local_in == in)
      core_.outs[message.out].local_in = kNone;
    message.out = kNone;
  } else if (message.link_index != kNone) {
    const std::uint64_t key = Core::number_key(message.link_index, message.number);
    if (core_.in_by_number.find(key) == in) core_.in_by_number.erase(key);
  }
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
  if (!message.local && message.link_index != kNone) {
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

bool Inbound::place(std::uint32_t in, const std::byte* key, const std::byte* payload, bool whole) {
  InMessage& message = core_.ins[in];
  const std::uint64_t bytes = message.header.payload_bytes;
  if (whole && message.key_bytes + bytes <= message.bytes.size()) {
    if (message.key_bytes != 0) std::memcpy(message.bytes.data(), key, message.key_bytes);
    if (bytes != 0)
      std::memcpy(message.bytes.data() + message.key_bytes, payload,
                  static_cast<std::size_t>(bytes));
    message.copied_bytes = bytes;
    return true;
  }
  message.key_room = key_room_for(message.key_bytes);
  const std::uint64_t total = message.key_room + bytes;
  if (ipc::ExtentPool::class_of(total) != ipc::kLargeClass) {
    const ipc::Extent extent = core_.take_small(message.domain, total);
    if (extent.empty()) return false;
    message.extent = extent;
    if (message.key_bytes != 0)
      std::memcpy(extent.data + message.key_room - message.key_bytes, key, message.key_bytes);
    if (whole) {
      if (bytes != 0)
        std::memcpy(extent.data + message.key_room, payload, static_cast<std::size_t>(bytes));
      message.copied_bytes = bytes;
    } else {
      core_.links[message.link_index].session->accept(message.number,
                                                      extent.data + message.key_room);
    }
    return true;
  }
  // Who cannot ask for memory now sends it back: its sender tries again.
  if (!core_.outbox.has_room()) return false;
  // The key is kept aside until the extent is there.
  if (message.key_bytes != 0) {
    if (message.key_bytes <= message.bytes.size()) {
      std::memcpy(message.bytes.data(), key, message.key_bytes);
    } else {
      message.key_extent = core_.take_small(message.domain, message.key_bytes);
      if (message.key_extent.empty()) return false;
      std::memcpy(message.key_extent.data, key, message.key_bytes);
    }
  }
  // Behind those that wait already: one that takes what is just free would pass them by.
  if (memory_short()) {
    ask_large(in, total);
  } else if (const auto extent = core_.pool(message.domain).take(total)) {
    give_extent(in, *extent);
  } else {
    ask_large(in, total);
  }
  return true;
}

void Inbound::ask_large(std::uint32_t in, std::uint64_t bytes) {
  InMessage& message = core_.ins[in];
  message.large_request = std::uint64_t{message.generation} << 32 | (in + 1);
  if (large_waiting_++ == 0) large_since_ns_ = core_.now;
  core_.outbox.tell(
      NeedLarge{message.domain, ipc::ExtentPool::large_file_bytes(bytes), message.large_request});
}

void Inbound::give_extent(std::uint32_t in, const ipc::Extent& extent) {
  InMessage& message = core_.ins[in];
  message.extent = extent;
  if (message.key_bytes != 0) {
    const std::byte* key =
        message.key_extent.empty() ? message.bytes.data() : message.key_extent.data;
    std::memcpy(extent.data + message.key_room - message.key_bytes, key, message.key_bytes);
  }
  core_.give_back(message.domain, message.key_extent);
  message.key_extent = {};
  if (message.local) {
    copying_.push_back(in);
  } else {
    core_.links[message.link_index].session->accept(message.number, extent.data + message.key_room);
  }
}

void Inbound::on_large(std::uint64_t request, DomainIndex domain, std::uint32_t file,
                       std::byte* data, std::uint64_t bytes) {
  core_.pool(domain).add_large_file(file, data, bytes);
  const auto in = static_cast<std::uint32_t>(request) - 1;
  if (request == 0 || in >= core_.ins.capacity()) return;
  InMessage& message = core_.ins[in];
  if (message.large_request != request || message.state != InState::kReceiving) return;
  const std::uint64_t total = message.key_room + message.header.payload_bytes;
  if (const auto extent = core_.pool(domain).take(total)) {
    message.large_request = 0;
    --large_waiting_;
    large_since_ns_ = core_.now;
    give_extent(in, *extent);
  }
}

void Inbound::on_large_refused(std::uint64_t request, Reason reason) {
  const auto in = static_cast<std::uint32_t>(request) - 1;
  if (request == 0 || in >= core_.ins.capacity()) return;
  InMessage& message = core_.ins[in];
  if (message.large_request != request || message.state != InState::kReceiving) return;
  message.large_request = 0;
  --large_waiting_;
  finish(in, Ending::kFailed, reason);
}

TimeNs Inbound::next_deadline_ns() const {
  if (held_.empty()) return kNeverNs;
  const TimeNs hold_ends = core_.ins[held_.front()].held_since_ns + kHoldNs;
  return large_waiting_ == 0 ? hold_ends : std::min(hold_ends, large_since_ns_ + kLargePatienceNs);
}

void Inbound::on_time() {
  if (next_deadline_ns() > core_.now) return;
  end_long_holds();
  if (large_waiting_ != 0 && large_since_ns_ + kLargePatienceNs <= core_.now) return_large_holds();
}

// Nothing of the elder came: it ended at its sender long ago, and we forgot that with its channel's
// window; or it will not come. The sender knows which, and sends this one again accordingly.
void Inbound::end_long_holds() {
  for (std::uint32_t count = 0; count < kHoldsPerPass && !held_.empty(); ++count) {
    const std::uint32_t in = held_.front();
    const InMessage& message = core_.ins[in];
    if (core_.now - message.held_since_ns < kHoldNs) return;
    if (elder_of(message) != Elder::kUnknown) {
      leave_hold(in);
      on_whole(in);  // held anew: its elder is on its way
      continue;
    }
    ++core_.counters.held_too_long;
    const bool for_good = !message.local && message.header.level == Level::kNone;
    const wire::MessageHeader header = message.header;
    const NodeIndex node = message.origin_node;
    finish(in, Ending::kFailed, Reason::kQueueFull);
    // At level none it does not come again: those behind it go on without it.
    if (for_good) elder_gone(node, header.id, header.predecessor);
  }
}

// A large message that is here may be held for an elder that waits for the very memory that it
// has: it goes back to its sender, which sends it again behind the elder.
void Inbound::return_large_holds() {
  large_since_ns_ = core_.now;
  for (std::uint32_t in = 0; in < core_.ins.capacity(); ++in) {
    const InMessage& message = core_.ins[in];
    if (message.state == InState::kHeld && !message.extent.empty() &&
        message.extent.size_class == ipc::kLargeClass)
      finish(in, Ending::kFailed, Reason::kNoMemory);
  }
}

void Inbound::copy_some() {
  if (copying_.empty()) return;
  core_.worked = true;
  const std::uint32_t in = copying_.front();
  InMessage& message = core_.ins[in];
  const std::uint64_t left = message.header.payload_bytes - message.copied_bytes;
  const std::uint64_t piece = std::min(left, kLocalCopyBytesPerTurn);
  std::memcpy(message.payload() + message.copied_bytes,
              core_.outs[message.out].payload + message.copied_bytes,
              static_cast<std::size_t>(piece));
  message.copied_bytes += piece;
  if (message.copied_bytes != message.header.payload_bytes) return;
  copying_.erase(copying_.begin());
  on_whole(in);
}

// ---- order --------------------------------------------------------------------------------------

void Inbound::on_whole(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.state == InState::kReceiving && message.copied_bytes != kCounted) {
    ++core_.counters.received;
    message.copied_bytes = kCounted;
  }
  const bool ordered = message.header.predecessor != 0 && !message.order_none && !RW_MUTANT(60);
  if (ordered && elder_of(message) != Elder::kOver) return hold(in);
  admit(in);
}

Inbound::Elder Inbound::elder_of(const InMessage& message) const {
  MessageId elder = message.header.id;
  elder.sequence = message.header.predecessor;
  if (core_.windows.look(message.origin_node, elder) != Seen::kNever) return Elder::kOver;
  // Its channel's window may have been given up; what is still here speaks for itself.
  const std::uint32_t in = find(elder);
  if (in == kNone) return Elder::kUnknown;
  const InState state = core_.ins[in].state;
  return state == InState::kReceiving || state == InState::kHeld ? Elder::kComing : Elder::kOver;
}

void Inbound::hold(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  MessageId elder = message.header.id;
  elder.sequence = message.header.predecessor;
  const std::uint64_t key = Core::identity_key(elder);
  message.next_waiter = core_.held_by_predecessor.find(key);
  message.state = InState::kHeld;
  message.held_since_ns = core_.now;
  core_.held_by_predecessor.put(key, in);
  held_.push_back(core_.ins, in);
  ++core_.counters.held_now;
}

/// Its elder's waiters are dealt with by the caller.
void Inbound::unlist(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  held_.remove(core_.ins, in);
  message.next_waiter = kNone;
  message.state = InState::kReceiving;
  --core_.counters.held_now;
}

void Inbound::leave_hold(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  MessageId before = message.header.id;
  before.sequence = message.header.predecessor;
  const std::uint64_t key = Core::identity_key(before);
  std::uint32_t at = core_.held_by_predecessor.find(key);
  if (at == in) {
    if (message.next_waiter == kNone) {
      core_.held_by_predecessor.erase(key);
    } else {
      core_.held_by_predecessor.put(key, message.next_waiter);
    }
  } else {
    while (at != kNone && core_.ins[at].next_waiter != in) at = core_.ins[at].next_waiter;
    if (at != kNone) core_.ins[at].next_waiter = message.next_waiter;
  }
  unlist(in);
}

void Inbound::wake_waiters(const MessageId& id) {
  const std::uint64_t key = Core::identity_key(id);
  std::uint32_t at = core_.held_by_predecessor.find(key);
  if (at == kNone || RW_MUTANT(61)) return;
  core_.held_by_predecessor.erase(key);
  while (at != kNone) {
    const std::uint32_t next = core_.ins[at].next_waiter;
    unlist(at);
    admit(at);
    at = next;
  }
}

void Inbound::admit(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  const MessageId id = message.header.id;
  core_.windows.mark(message.origin_node, id, Seen::kQueued);
  if (to_channel(message.header)) {
    const ChannelIndex channel = core_.channels_part->find(message.header.in_reply_to.attachment,
                                                           message.header.in_reply_to.channel);
    if (channel == kNone || core_.channels[channel].removing) {
      finish(in, Ending::kFailed, Reason::kOriginGone);
    } else {
      core_.channels_part->push_direct(channel, in);
    }
  } else {
    // From elsewhere, level none ended for its sender with the arrival (W-19).
    if (message.header.level == Level::kAccepted ||
        (message.local && message.header.level == Level::kNone))
      settle(in, Ending::kDone, Reason::kNone);
    core_.groups->enqueue(in);
  }
  wake_waiters(id);
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
  Link& link = core_.links[message.link_index];
  if (link.session_epoch != message.link_epoch || link.session == nullptr) return;
  link.session->settle(message.number, ending, reason);
}

void Inbound::return_credit(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.local || message.link_index == kNone) return;
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
  if (!message.local && message.link_index != kNone) {
    Link& link = core_.links[message.link_index];
    if (link.session_epoch == message.link_epoch && link.session != nullptr) {
      if (!message.settled && message.header.level != Level::kNone)
        link.session->settle(message.number, Ending::kFailed, Reason::kCancelled);
      link.session->release(message.number);
    }
  }
  detach_source(in);
  const std::uint64_t identity = Core::identity_key(message.header.id);
  if (core_.in_by_identity.find(identity) == in) core_.in_by_identity.erase(identity);
  if (!RW_MUTANT(68)) core_.give_back(message.domain, message.extent);
  core_.give_back(message.domain, message.key_extent);
  give_back(in);
}

void Inbound::give_back(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (!to_channel(message.header)) --in_use_[message.service];
  message.state = InState::kFree;
  core_.ins.give_back(in);
}

/// Of the records, one service has at most half, and an eighth is kept for replies: so that who
/// waits for the answer of another service, or of another node, cannot keep that out.
bool Inbound::has_room(std::uint16_t service) const {
  const std::uint32_t all = core_.ins.capacity();
  return in_use_[service] < all / 2 && core_.ins.free_count() > all / 8;
}

void Inbound::on_session_gone(std::uint32_t link_index) {
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
