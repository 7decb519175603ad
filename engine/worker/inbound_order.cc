#include "engine/worker/inbound.h"

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/groups.h"

namespace ringwire::worker {

namespace {

/// InMessage::copied_bytes of a message that is whole and was counted.
constexpr std::uint64_t kCounted = ~std::uint64_t{0};

/// So long may none of those that wait for large memory get it before what holds some is sent back.
constexpr DurationNs kLargePatienceNs = 100 * kMillisecondNs;

/// Messages that name the same predecessor: an honest sender has one at a time, two for a moment.
constexpr std::uint32_t kMaxWaiters = 64;

/// Of holds that are looked at each time: the rest has its turn 20 ms later.
constexpr std::uint32_t kHoldsPerPass = 256;

/// It came by the network at level none: its sender took the arrival for the end (W-19), and
/// neither recalls it nor sends it again.
bool ended_at_sender(const InMessage& message) {
  return !message.local && message.header.level == Level::kNone;
}

}  // namespace

void Inbound::on_whole(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.state == InState::kReceiving && message.copied_bytes != kCounted) {
    ++core_.counters.received;
    message.copied_bytes = kCounted;
  }
  if (message.order_none || RW_MUTANT(60)) return admit(in);
  while (message.header.predecessor != 0) {
    const Elder elder = elder_of(message);
    if (elder == Elder::kOver) break;
    const std::uint64_t before = elder == Elder::kUnknown ? passed_before(message) : kNotPassed;
    if (before == kNotPassed) return hold(in);
    message.header.predecessor = before;  // smaller each time
  }
  admit(in);
}

/// Where what this message names was passed over: what that one was to wait for.
std::uint64_t Inbound::passed_before(const InMessage& message) const {
  for (const Passed& passed : passed_)
    if ((!passed.comes_again || ended_at_sender(message)) &&
        passed.id.sequence == message.header.predecessor && passed.node == message.origin_node &&
        passed.id.channel == message.header.id.channel &&
        passed.id.attachment == message.header.id.attachment && !RW_MUTANT(137))
      return passed.predecessor;
  return kNotPassed;
}

Inbound::Elder Inbound::elder_of(const InMessage& message) const {
  MessageId elder = message.header.id;
  elder.sequence = message.header.predecessor;
  if (core_.windows.look(message.origin_node, elder) != Seen::kNever) return Elder::kOver;
  // Its channel's window may have been given up; what is still here speaks for itself.
  const std::uint32_t in = find(elder, core_.identity_key(elder));
  if (in == kNone) return Elder::kUnknown;
  const InState state = core_.ins[in].state;
  return state == InState::kReceiving || state == InState::kHeld ? Elder::kComing : Elder::kOver;
}

void Inbound::hold(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  MessageId elder = message.header.id;
  elder.sequence = message.header.predecessor;
  const std::uint64_t key = core_.identity_key(elder);
  const std::uint32_t first = core_.held_by_predecessor.find(key);
  std::uint32_t waiters = 0;
  for (std::uint32_t at = first; at != kNone; at = core_.ins[at].next_waiter) ++waiters;
  if (waiters >= kMaxWaiters) return send_back(in);
  message.next_waiter = first;
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
  const std::uint64_t key = core_.identity_key(before);
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
  if (held_.empty()) return;
  const std::uint64_t key = core_.identity_key(id);
  std::uint32_t at = core_.held_by_predecessor.find(key);
  if (at == kNone || RW_MUTANT(61)) return;
  core_.held_by_predecessor.erase(key);
  // A list, not a recursion: each that is admitted wakes those behind it, and thousands may stand
  // behind one that was lost.
  for (; at != kNone; at = core_.ins[at].next_waiter)
    woken_.push_back({at, core_.ins[at].generation});
  if (std::exchange(waking_, true)) return;
  for (std::size_t next = 0; next < woken_.size(); ++next) {
    const auto [in, generation] = woken_[next];
    // What admitting one brings about may have ended another.
    if (core_.ins[in].generation != generation || core_.ins[in].state != InState::kHeld) continue;
    unlist(in);
    admit(in);
  }
  woken_.clear();
  waking_ = false;
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

void Inbound::elder_gone(NodeIndex node, const MessageId& id, std::uint64_t predecessor) {
  if (core_.windows.look(node, id) == Seen::kNever) core_.windows.mark(node, id, Seen::kGivenUp);
  retarget(node, id, predecessor, Waiters::kAll);
}

void Inbound::passed_over(NodeIndex node, const MessageId& id, std::uint64_t predecessor) {
  MessageId elder = id;
  elder.sequence = predecessor;
  // While its own elder is still to come, what names it from now on may not pass that, but waits
  // for it instead.
  if (predecessor != 0 && core_.windows.look(node, elder) == Seen::kNever) {
    passed_[next_passed_++ % passed_.size()] = {id, node, predecessor, false};
    return retarget(node, id, predecessor, Waiters::kAll);
  }
  elder_gone(node, id, predecessor);
}

void Inbound::withdrawn(NodeIndex node, const MessageId& id, std::uint64_t predecessor) {
  passed_[next_passed_++ % passed_.size()] = {id, node, predecessor, true};
  retarget(node, id, predecessor, Waiters::kEnded);
}

void Inbound::never_came(NodeIndex node, const wire::MessageHeader& header) {
  // A later attempt of it may be here, and is what its successors wait for.
  if (core_.windows.look(node, header.id) != Seen::kNever ||
      find(header.id, core_.identity_key(header.id)) != kNone)
    return;
  withdrawn(node, header.id, header.predecessor);
}

void Inbound::retarget(NodeIndex node, const MessageId& id, std::uint64_t predecessor,
                       Waiters which) {
  // Who waited for it waits now for what it waited for itself.
  if (RW_MUTANT(62)) return;
  const std::uint64_t key = core_.identity_key(id);
  std::uint32_t at = core_.held_by_predecessor.find(key);
  if (at == kNone) return;
  core_.held_by_predecessor.erase(key);
  std::uint32_t moved = kNone;
  std::uint32_t kept = kNone;
  while (at != kNone) {
    InMessage& message = core_.ins[at];
    const std::uint32_t next = message.next_waiter;
    // A node speaks of its own messages only.
    const bool moves =
        message.origin_node == node && (which == Waiters::kAll || ended_at_sender(message));
    std::uint32_t& list = moves ? moved : kept;
    message.next_waiter = list;
    list = at;
    at = next;
  }
  if (kept != kNone) core_.held_by_predecessor.put(key, kept);
  while (moved != kNone) {
    InMessage& message = core_.ins[moved];
    const std::uint32_t in = std::exchange(moved, message.next_waiter);
    unlist(in);
    message.header.predecessor = predecessor;
    on_whole(in);
  }
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
    send_back(in);
  }
}

void Inbound::send_back(std::uint32_t in) {
  const InMessage& message = core_.ins[in];
  const bool for_good = ended_at_sender(message);
  const wire::MessageHeader header = message.header;
  const NodeIndex node = message.origin_node;
  finish(in, Ending::kFailed, Reason::kQueueFull);
  // At level none it does not come again: those behind it go on without it.
  if (for_good) passed_over(node, header.id, header.predecessor);
}

}  // namespace ringwire::worker
