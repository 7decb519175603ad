#include "engine/worker/short_way.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/mutant.h"
#include "base/touched.h"
#include "engine/worker/channels.h"
#include "engine/worker/delivery_entry.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/outbound.h"

namespace ringwire::worker {
namespace {

/// Of what may be asked of a submission; with anything else it goes the long way.
constexpr std::uint16_t kPlainFlags = ipc::kSubmitOrderNone | ipc::kSubmitNoWait | ipc::kSubmitCall;

/// Among the flags of a ShortMessage: its key is bound to its consumer.
constexpr std::uint16_t kBound = 1u << 15;
static_assert((kPlainFlags & kBound) == 0);

bool plain(const ipc::Submission& submission) {
  return (submission.flags & ~kPlainFlags) == 0 && submission.extent_file == 0 &&
         submission.level <= static_cast<std::uint8_t>(Level::kProcessed) &&
         submission.require <= 2 && submission.payload_bytes <= ipc::kInlineBytes &&
         submission.key_bytes + submission.payload_bytes <= ipc::kInlineBytes;
}

}  // namespace

ShortWay::ShortWay(Core& core) : core_(core), ours_(kSlotCount / 64) {
  reserve_touched(scratch_, core.config.in_messages);
}

void ShortWay::view_changed() {
  std::fill(ours_.begin(), ours_.end(), 0);
  const ring::View* view = core_.view.get();
  if (view == nullptr || view->type != ring::ClusterType::kHash) return;
  const std::uint32_t workers = core_.nodes[core_.config.self].remote_worker_count;
  for (std::uint32_t slot = core_.config.index; slot < kSlotCount; slot += workers) {
    const auto replicas = view->replicas_of(slot);
    if (replicas.empty()) return;
    const ring::Member& owner = view->members[replicas.front()];
    if (owner.node_index == core_.config.self && owner.state == ring::MemberState::kServing)
      ours_[slot / 64] |= std::uint64_t{1} << slot % 64;
  }
}

// ---- taking -------------------------------------------------------------------------------------

/// Its node, the first of those it may go to, is this one, and so is the worker.
bool ShortWay::goes_here(const ipc::Submission& submission) const {
  const std::uint32_t slot = slot_of(submission.hash);
  if (submission.target == static_cast<std::uint8_t>(ipc::TargetKind::kKey))
    return (ours_[slot / 64] >> slot % 64 & 1) != 0;
  const NodeIndex self = core_.config.self;
  return submission.target == static_cast<std::uint8_t>(ipc::TargetKind::kNode) &&
         submission.node == self &&
         slot % core_.nodes[self].remote_worker_count == core_.config.index;
}

/// An elder of its key went the long way and may come to its group later than this one would.
bool ShortWay::behind_elder(const Channel& channel, ChannelIndex index,
                            const ipc::Submission& submission) const {
  if (channel.outstanding.empty() || RW_MUTANT(132)) return false;
  const bool to_node = submission.target == static_cast<std::uint8_t>(ipc::TargetKind::kNode);
  const std::uint32_t elder = core_.chain_tail.find(core_.outbound->chain_key(
      index, submission.hash, submission.service, to_node ? submission.node : ipc::kNoNode));
  if (elder == kNone) return false;
  const OutMessage& sent = core_.outs[elder];
  return sent.state != OutState::kLocal || sent.local_in == kNone ||
         core_.ins[sent.local_in].state == InState::kReceiving ||
         core_.ins[sent.local_in].state == InState::kHeld;
}

/// Who gets it, with nothing of the long way before it; else kNone. An only consumer has all keys,
/// unless another left and still holds some, and what it has no room for waits for it. Of several
/// one must have room now.
std::uint32_t ShortWay::consumer_for(const ipc::Submission& submission) const {
  Groups& groups = *core_.groups;
  Groups::Group& group = groups.groups_[submission.service];
  if (group.consumers.empty() || groups.runs_wait(submission.service) ||
      (!group.queued.empty() && !RW_MUTANT(135)))
    return kNone;
  if (group.consumers.size() == 1) {
    const std::uint32_t at = group.consumers.front();
    const Groups::Consumer& consumer = groups.consumers_[at];
    const bool alone = consumer.in_flight == group.in_flight || RW_MUTANT(133);
    return alone && consumer.pending.empty() ? at : kNone;
  }
  const std::uint32_t key =
      keyed(submission.flags, submission.service)
          ? groups.key_index_.find(groups.key_of(submission.hash, submission.service))
          : kNone;
  const std::uint32_t at = key != kNone ? groups.keys_[key].consumer : groups.pick(group);
  if (at == kNone) return kNone;
  const Groups::Consumer& consumer = groups.consumers_[at];
  return consumer.live && consumer.pending.empty() && groups.has_room(consumer) ? at : kNone;
}

/// Order binds it to what else has its key. (Those of a broadcast do not come this way.)
bool ShortWay::keyed(std::uint16_t flags, std::uint16_t service) const {
  return (flags & ipc::kSubmitOrderNone) == 0 && !core_.groups->groups_[service].order_none &&
         !RW_MUTANT(73);
}

bool ShortWay::take(ChannelIndex index, const ipc::Submission& fields,
                    const std::byte* inline_bytes) {
  Channel& channel = core_.channels[index];
  if (channel.removing || core_.draining || !core_.config.server || !plain(fields) ||
      fields.service >= core_.services.size() || !goes_here(fields) ||
      fields.sequence < channel.next_sequence || fields.sequence > kMaxSequence)
    return false;
  if (behind_elder(channel, index, fields)) return false;
  const std::uint32_t consumer = consumer_for(fields);
  if (consumer == kNone) return false;
  if (fields.deadline_ns != 0 && core_.deadlines.full()) return false;
  Groups::Group& group = core_.groups->groups_[fields.service];
  if (!core_.outbound->has_share(channel, false) ||
      !core_.inbound->has_room(fields.service, group.domain))
    return false;
  const std::uint32_t at = core_.shorts.take();
  if (at == kNone) return false;
  core_.outs.reserve();
  core_.ins.reserve();
  ++core_.inbound->in_use_[fields.service];
  ++core_.outs_of[channel.domain];
  ++group.shorts;

  ShortMessage& message = core_.shorts[at];
  message.sender = ShortSender::kOpen;
  message.target = static_cast<ipc::TargetKind>(fields.target);
  message.level = static_cast<Level>(fields.level);
  message.flags = fields.flags;
  message.service = fields.service;
  message.key_bytes = fields.key_bytes;
  message.payload_bytes = static_cast<std::uint8_t>(fields.payload_bytes);
  message.priority = fields.priority;
  message.channel = index;
  message.consumer = consumer;
  message.sequence = fields.sequence;
  message.hash = fields.hash;
  message.order = ++core_.next_order;
  ShortBody& body = core_.short_bodies[at];
  body.deadline_ns = fields.deadline_ns;
  body.require = static_cast<ipc::Require>(fields.require);
  ipc::copy_once(body.bytes.data(), inline_bytes,
                 fields.key_bytes + static_cast<std::size_t>(fields.payload_bytes));

  channel.next_sequence = fields.sequence + 1;
  ++channel.submitted;
  ++core_.counters.taken;
  ++core_.counters.in_flight_now;
  ++core_.counters.received;
  channel.shorts.push_back(core_.shorts, at);
  if ((fields.flags & ipc::kSubmitCall) != 0)
    core_.out_by_sequence.put(core_.sequence_key(index, fields.sequence), at | kShortBit);
  if (fields.deadline_ns != 0)
    core_.deadlines.add({fields.deadline_ns, at | kShortBit, message.generation});

  if (group.consumers.size() != 1 && keyed(fields.flags, fields.service)) {
    core_.groups->bind_key(core_.groups->key_of(fields.hash, fields.service), consumer);
    message.flags |= kBound;
  }
  Groups::Consumer& taker = core_.groups->consumers_[consumer];
  const bool handed_out =
      taker.shorts.empty() && core_.groups->has_room(taker) && hand_out(at, consumer);
  if (!handed_out) {
    message.receiver = ShortConsumer::kWaiting;
    taker.shorts.push_back(core_.shorts, at);
    core_.groups->some_wait_ = true;
  }
  if (message.level != Level::kProcessed) end_sender(at);
  return true;
}

void ShortWay::hand_out_waiting(std::uint32_t at) {
  Groups::Consumer& consumer = core_.groups->consumers_[at];
  while (consumer.live && !consumer.shorts.empty() && consumer.pending.empty() &&
         core_.groups->has_room(consumer)) {
    const std::uint32_t first = consumer.shorts.pop_front(core_.shorts);
    if (hand_out(first, at)) continue;
    consumer.shorts.push_front(core_.shorts, first);
    break;
  }
  last_taker_ = kNone;  // flush() shows it; and it may be gone before another is shown
}

/// A message that is in no list, for a consumer with room. False: it has none any more.
bool ShortWay::hand_out(std::uint32_t at, std::uint32_t consumer) {
  ShortMessage& message = core_.shorts[at];
  Groups::Consumer& taker = core_.groups->consumers_[consumer];
  Channel& channel = core_.channels[taker.channel];
  ipc::Delivery* const entry = channel.ipc->claim_delivery(core_.config.index);
  // There was room; but the program may have broken a rule at another worker since.
  if (entry == nullptr) return false;
  message.receiver = ShortConsumer::kDelivered;
  ++channel.shorts_held;
  ++channel.delivered;
  ++core_.counters.delivered;
  ++taker.in_flight;
  ++core_.groups->groups_[message.service].in_flight;

  const Channel& sender = core_.channels[message.channel];
  const bool call = (message.flags & ipc::kSubmitCall) != 0;
  const ipc::OriginToken origin{
      .attachment_high = sender.attachment.high,
      .attachment_low = sender.attachment.low,
      .sequence = message.sequence,
      .node_incarnation = core_.config.incarnation_low,
      .channel = sender.number,
      .node = core_.config.self,
      .flags = call ? 1U : 0U,
      .home_worker = static_cast<std::uint16_t>(core_.config.index),
      .reserved = 0,
      .seal = 0,
      .reserved2 = 0,
  };
  write_entry(*entry,
              {.token = core_.short_token(at),
               .hash = message.hash,
               .payload_bytes = message.payload_bytes,
               .key_bytes = message.key_bytes,
               .flags = call ? std::uint16_t{ipc::kDeliverCall} : std::uint16_t{0},
               .service = message.service},
              origin, core_.origin_seal(origin));
  std::memcpy(entry->inline_bytes, core_.short_bodies[at].bytes.data(),
              message.key_bytes + std::size_t{message.payload_bytes});
  core_.channels_part->note_delivery(taker.channel);
  last_taker_ = channel.unshown == 0 ? kNone : taker.channel;
  return true;
}

void ShortWay::show_last() {
  if (last_taker_ == kNone) return;
  core_.channels_part->show(core_.channels[last_taker_]);
  last_taker_ = kNone;
}

// ---- ends ---------------------------------------------------------------------------------------

bool ShortWay::release(ChannelIndex index, const ipc::Release& release) {
  const auto named = static_cast<std::uint32_t>(release.token);
  const std::uint32_t at = named & ~kShortBit;
  if ((named & kShortBit) == 0 || at >= core_.shorts.capacity()) return false;
  ShortMessage& message = core_.shorts[at];
  if (message.generation != static_cast<std::uint32_t>(release.token >> 32) ||
      message.receiver != ShortConsumer::kDelivered ||
      core_.groups->consumers_[message.consumer].channel != index)
    return false;
  if (release.verdict != static_cast<std::uint32_t>(ipc::Verdict::kDone)) {
    if (release.verdict <= static_cast<std::uint32_t>(ipc::Verdict::kRefuse)) make_ordinary(at);
    return false;
  }
  const bool replied =
      (message.flags & ipc::kSubmitCall) != 0 && (release.flags & ipc::kReleaseReplied) != 0;
  end_receiver(at);
  core_.ins.give_up_reserved();
  --core_.inbound->in_use_[message.service];
  ++core_.came_back_since_full;
  message.receiver = ShortConsumer::kOver;
  if (message.sender == ShortSender::kOpen) {
    if (replied && !core_.channels[message.channel].removing) {
      message.sender = ShortSender::kAwaitReply;
      return true;
    }
    end_sender(at);
  }
  give_back_if_over(at);
  return true;
}

/// It is with no consumer any more, and waits for none.
void ShortWay::end_receiver(std::uint32_t at) {
  const ShortMessage& message = core_.shorts[at];
  Groups::Consumer& consumer = core_.groups->consumers_[message.consumer];
  Groups::Group& group = core_.groups->groups_[message.service];
  --group.shorts;
  if (message.receiver == ShortConsumer::kWaiting) {
    consumer.shorts.remove(core_.shorts, at);
  } else {
    --core_.channels[consumer.channel].shorts_held;
    --consumer.in_flight;
    --group.in_flight;
  }
  if ((message.flags & kBound) != 0)
    core_.groups->unbind_key(core_.groups->key_of(message.hash, message.service));
}

/// It is done, as far as its sender is concerned.
void ShortWay::end_sender(std::uint32_t at) {
  ShortMessage& message = core_.shorts[at];
  Channel& channel = core_.channels[message.channel];
  ++core_.counters.done;
  --core_.counters.in_flight_now;
  if ((message.flags & ipc::kSubmitCall) != 0)
    core_.out_by_sequence.erase(core_.sequence_key(message.channel, message.sequence));
  channel.shorts.remove(core_.shorts, at);
  if (channel.shorts_to_tell.empty() && tell(at)) return;
  message.sender = ShortSender::kToTell;
  channel.shorts_to_tell.push_back(core_.shorts, at);
  core_.channels_part->touch(message.channel);
}

/// Put its outcome into its channel's delivery queue. False when that has no room.
bool ShortWay::tell(std::uint32_t at) {
  ShortMessage& message = core_.shorts[at];
  const ipc::OutcomeRecord record{.sequence = message.sequence,
                                  .node = core_.config.self,
                                  .ending = static_cast<std::uint8_t>(Ending::kDone),
                                  .reason = static_cast<std::uint8_t>(Reason::kNone),
                                  .level = static_cast<std::uint8_t>(message.level),
                                  .attempt = 1};
  if (!core_.outbound->tell_now(message.channel, record)) return false;
  message.sender = ShortSender::kOver;
  core_.outs.give_up_reserved();
  --core_.outs_of[core_.channels[message.channel].domain];
  return true;
}

void ShortWay::report(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  while (!channel.shorts_to_tell.empty()) {
    const std::uint32_t at = channel.shorts_to_tell.front();
    if (!tell(at)) return;
    channel.shorts_to_tell.remove(core_.shorts, at);
    give_back_if_over(at);
  }
}

void ShortWay::give_back_if_over(std::uint32_t at) {
  const ShortMessage& message = core_.shorts[at];
  if (message.sender == ShortSender::kOver && message.receiver == ShortConsumer::kOver)
    core_.shorts.give_back(at);
}

}  // namespace ringwire::worker
