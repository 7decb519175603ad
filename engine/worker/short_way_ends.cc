// How messages of the short way become ordinary ones (short_way.h).
#include <algorithm>
#include <cstring>
#include <span>

#include "base/mutant.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/outbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {
namespace {

/// Into its place by arrival. What came later stands behind it, and is little.
void insert_by_arrival(IndexPool<InMessage>& pool, IndexList<InMessage>& list, std::uint32_t in) {
  const std::uint64_t arrival = pool[in].arrival;
  std::uint32_t behind = kNone;
  for (std::uint32_t at = list.back(); at != kNone && pool[at].arrival > arrival;
       at = pool[at].link.previous)
    behind = at;
  behind == kNone ? list.push_back(pool, in) : list.insert_before(pool, behind, in);
}

}  // namespace

std::uint32_t ShortWay::find_moved(std::uint32_t at, std::uint32_t generation) const {
  if (at >= core_.shorts.capacity()) return kNone;
  const ShortMessage& message = core_.shorts[at];
  const bool moved = message.generation == generation &&
                     message.receiver == ShortConsumer::kMoved && !RW_MUTANT(160);
  return moved ? message.consumer : kNone;
}

void ShortWay::forget_moved(std::uint32_t at) {
  core_.shorts[at].receiver = ShortConsumer::kOver;
  give_back_if_over(at);
}

void ShortWay::make_ordinary(std::uint32_t at) {
  const ShortMessage& message = core_.shorts[at];
  // Its elders first: each finds the one before it in its order.
  const bool open =
      message.sender == ShortSender::kOpen || message.sender == ShortSender::kAwaitReply;
  if (open) return core_.outbound->enlist(message.channel);
  if (message.receiver == ShortConsumer::kWaiting || message.receiver == ShortConsumer::kDelivered)
    make_in(at);
  give_back_if_over(at);
}

void ShortWay::enlist(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  while (!channel.shorts.empty()) {
    const std::uint32_t at = channel.shorts.front();
    const std::uint32_t in =
        core_.shorts[at].receiver == ShortConsumer::kOver ? kNone : make_in(at);
    make_out(at, in);
    give_back_if_over(at);
  }
}

void ShortWay::fill_header(const ShortMessage& message, wire::MessageHeader& header) const {
  const Channel& sender = core_.channels[message.channel];
  header.id = {sender.attachment, sender.number, message.sequence};
  header.hash = message.hash;
  header.epoch = core_.view ? core_.view->epoch : 0;
  header.attempt = 1;
  header.payload_bytes = message.payload_bytes;
  header.level = message.level;
  header.priority = message.priority;
  if ((message.flags & ipc::kSubmitOrderNone) != 0) header.flags |= wire::kOrderNone;
  if ((message.flags & ipc::kSubmitNoWait) != 0) header.flags |= wire::kNoWait;
  if ((message.flags & ipc::kSubmitCall) != 0) header.flags |= wire::kCall;
}

std::uint32_t ShortWay::make_in(std::uint32_t at) {
  ShortMessage& from = core_.shorts[at];
  const bool delivered = from.receiver == ShortConsumer::kDelivered;
  const std::uint32_t consumer = from.consumer;
  end_receiver(at);
  const std::uint32_t in = core_.ins.take_reserved();
  InMessage& message = core_.ins[in];
  message.local = true;
  message.settled = true;  // make_out says otherwise
  message.order_none = (from.flags & ipc::kSubmitOrderNone) != 0;
  message.service = from.service;
  message.domain = core_.groups->domain(from.service);
  message.origin_node = core_.config.self;
  message.origin_worker = static_cast<std::uint16_t>(core_.config.index);
  message.consumer = consumer;
  message.arrival = from.order;
  message.key_bytes = from.key_bytes;
  fill_header(from, message.header);
  std::memcpy(message.bytes.data(), core_.short_bodies[at].bytes.data(),
              from.key_bytes + std::size_t{from.payload_bytes});
  message.identity_key = core_.identity_key(message.header.id);
  core_.in_by_identity.put(message.identity_key, in);
  core_.windows.mark(message.origin_node, message.header.id, Seen::kQueued);

  Groups::Consumer& taker = core_.groups->consumers_[consumer];
  if (!RW_MUTANT(134)) core_.groups->bind(message, consumer);
  if (delivered) {
    message.state = InState::kDelivered;
    message.deliveries = 1;
    message.channel = taker.channel;
    message.alias = at;
    ++taker.in_flight;
    ++core_.groups->groups_[from.service].in_flight;
    insert_by_arrival(core_.ins, core_.channels[taker.channel].held, in);
    from.receiver = ShortConsumer::kMoved;
    from.consumer = in;
  } else {
    message.state = InState::kAtConsumer;
    insert_by_arrival(core_.ins, taker.pending, in);
    from.receiver = ShortConsumer::kOver;
  }
  return in;
}

void ShortWay::make_out(std::uint32_t at, std::uint32_t in) {
  ShortMessage& from = core_.shorts[at];
  const ShortBody& body = core_.short_bodies[at];
  Channel& channel = core_.channels[from.channel];
  channel.shorts.remove(core_.shorts, at);
  const std::uint32_t out = core_.outs.take_reserved();
  OutMessage& sent = core_.outs[out];
  sent.channel = from.channel;
  sent.state = from.sender == ShortSender::kOpen ? OutState::kLocal : OutState::kAwaitReply;
  sent.target = from.target;
  sent.require = body.require;
  sent.no_wait = (from.flags & ipc::kSubmitNoWait) != 0;
  sent.counted = true;
  sent.service = from.service;
  sent.attempt = 1;
  sent.node = core_.config.self;
  sent.fixed_node = core_.config.self;
  sent.order = from.order;
  sent.slot = slot_of(from.hash);
  sent.deadline_ns = body.deadline_ns;
  fill_header(from, sent.header);
  std::memcpy(sent.bytes.data(), body.bytes.data(),
              from.key_bytes + std::size_t{from.payload_bytes});
  sent.header.key = std::span<const std::byte>(sent.bytes.data(), from.key_bytes);
  sent.header.service = core_.services[from.service];
  sent.payload = sent.bytes.data() + from.key_bytes;
  channel.outstanding.push_back(core_.outs, out);
  core_.out_by_sequence.put(core_.sequence_key(from.channel, from.sequence), out);
  if (sent.deadline_ns != 0) core_.outbound->add_deadline(out);
  if (sent.state == OutState::kLocal && !RW_MUTANT(131)) core_.outbound->join_chain(out);
  if (in != kNone) {
    sent.local_in = in;
    core_.ins[in].out = out;
    core_.ins[in].out_generation = sent.generation;
    core_.ins[in].settled = false;
  }
  from.sender = ShortSender::kOver;
}

template <typename Wanted>
void ShortWay::enlist_those(Wanted wanted) {
  scratch_.clear();
  for (std::uint32_t at = 0; at < core_.shorts.capacity(); ++at) {
    const ShortMessage& message = core_.shorts[at];
    const bool here = message.receiver == ShortConsumer::kWaiting ||
                      message.receiver == ShortConsumer::kDelivered;
    if (here && wanted(message)) scratch_.push_back(at);
  }
  // Oldest first: each goes to the end of its list then, or near it.
  std::sort(scratch_.begin(), scratch_.end(), [this](std::uint32_t left, std::uint32_t right) {
    return core_.shorts[left].order < core_.shorts[right].order;
  });
  for (const std::uint32_t at : scratch_) {
    const ShortConsumer receiver = core_.shorts[at].receiver;  // another's sender was its own
    if (receiver == ShortConsumer::kWaiting || receiver == ShortConsumer::kDelivered)
      make_ordinary(at);
  }
}

void ShortWay::enlist_all_of(ChannelIndex index) {
  enlist(index);
  Channel& channel = core_.channels[index];
  while (!channel.shorts_to_tell.empty()) {  // nobody is there to be told
    const std::uint32_t at = channel.shorts_to_tell.pop_front(core_.shorts);
    core_.shorts[at].sender = ShortSender::kOver;
    core_.outs.give_up_reserved();
    --core_.outs_of[channel.domain];
    give_back_if_over(at);
  }
  if (core_.shorts.used_count() != 0)
    enlist_those([index](const ShortMessage& message) { return message.channel == index; });
}

void ShortWay::enlist_service(std::uint16_t service) {
  if (core_.groups->groups_[service].shorts != 0)
    enlist_those([service](const ShortMessage& message) { return message.service == service; });
}

void ShortWay::enlist_waiting(std::uint16_t service) {
  for (const std::uint32_t at : core_.groups->groups_[service].consumers)
    while (!core_.groups->consumers_[at].shorts.empty())
      make_ordinary(core_.groups->consumers_[at].shorts.front());
}

}  // namespace ringwire::worker
