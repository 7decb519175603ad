// The short way of a message (outbound.h): small, from a program of this node to one of this node,
// whose worker is this one, while nothing is unusual. Its two records are filled in one go, and
// neither enters a table: not by sequence (but for calls), key or identity, and no duplicate window
// learns of it. That holds while its elders are with their groups here too, or over; enlist() makes
// all of a channel ordinary before anything else happens: another kind of message, a cancel, a
// second delivery, a failure.
#include <cstring>
#include <span>
#include <utility>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/outbound.h"

namespace ringwire::worker {
namespace {

/// Of what may be asked of a submission; with anything else it goes the long way.
constexpr std::uint16_t kPlainFlags = ipc::kSubmitOrderNone | ipc::kSubmitNoWait | ipc::kSubmitCall;

bool plain(const ipc::Submission& submission) {
  return (submission.flags & ~kPlainFlags) == 0 && submission.extent_file == 0 &&
         submission.level <= static_cast<std::uint8_t>(Level::kProcessed) &&
         submission.require <= 2 && submission.payload_bytes <= ipc::kInlineBytes &&
         submission.key_bytes + submission.payload_bytes <= ipc::kInlineBytes;
}

}  // namespace

/// Its node, the first of those it may go to, is this one, and so is the worker.
bool Outbound::goes_here(const ipc::Submission& submission) const {
  const NodeIndex self = core_.config.self;
  const std::uint32_t slot = slot_of(submission.hash);
  if (submission.target == static_cast<std::uint8_t>(ipc::TargetKind::kKey)) {
    const ring::View* view = core_.view.get();
    if (view == nullptr || view->type != ring::ClusterType::kHash) return false;
    const auto replicas = view->replicas_of(slot);
    if (replicas.empty()) return false;
    const ring::Member& owner = view->members[replicas.front()];
    if (owner.node_index != self || owner.state != ring::MemberState::kServing) return false;
  } else if (submission.target != static_cast<std::uint8_t>(ipc::TargetKind::kNode) ||
             submission.node != self) {
    return false;
  }
  return slot % core_.nodes[self].remote_worker_count == core_.config.index;
}

/// An elder of its key went the long way and may come to its group later than this one would.
bool Outbound::behind_elder(const Channel& channel, ChannelIndex index,
                            const ipc::Submission& submission) const {
  if (channel.unlisted == channel.outstanding.count() || RW_MUTANT(132)) return false;
  const bool to_node = submission.target == static_cast<std::uint8_t>(ipc::TargetKind::kNode);
  const std::uint32_t elder = core_.chain_tail.find(chain_key(
      index, submission.hash, submission.service, to_node ? submission.node : ipc::kNoNode));
  if (elder == kNone) return false;
  const OutMessage& sent = core_.outs[elder];
  return sent.state != OutState::kLocal || sent.local_in == kNone ||
         core_.ins[sent.local_in].state == InState::kReceiving ||
         core_.ins[sent.local_in].state == InState::kHeld;
}

bool Outbound::take_short_way(ChannelIndex index, const ipc::Submission& submission) {
  Channel& channel = core_.channels[index];
  if (channel.removing || core_.draining || !core_.config.server || !plain(submission) ||
      submission.service >= core_.services.size() || !core_.groups->served(submission.service) ||
      !goes_here(submission) || behind_elder(channel, index, submission))
    return false;
  if (submission.deadline_ns != 0 && core_.deadlines.full()) return false;
  if (!has_share(channel, false)) return false;
  const bool order_none = (submission.flags & ipc::kSubmitOrderNone) != 0;
  const std::uint32_t in =
      core_.inbound->take_record(submission.service, core_.groups->domain(submission.service));
  if (in == kNone) return false;
  const std::uint32_t out = core_.outs.take();  // has_share() saw that there is one

  OutMessage& sent = core_.outs[out];
  sent.channel = index;
  sent.state = OutState::kLocal;
  sent.target = static_cast<ipc::TargetKind>(submission.target);
  sent.require = static_cast<ipc::Require>(submission.require);
  sent.no_wait = (submission.flags & ipc::kSubmitNoWait) != 0;
  sent.counted = true;
  sent.unlisted = true;
  sent.service = submission.service;
  sent.attempt = 1;
  sent.node = core_.config.self;
  sent.fixed_node = submission.node;
  sent.local_in = in;
  sent.order = ++core_.next_order;
  sent.slot = slot_of(submission.hash);
  sent.deadline_ns = submission.deadline_ns;
  sent.header.id.sequence = submission.sequence;
  sent.header.level = static_cast<Level>(submission.level);
  // Its reply looks for it: of what goes the short way, calls alone are found by their sequence.
  const bool call = (submission.flags & ipc::kSubmitCall) != 0;
  if (call) {
    sent.header.flags = wire::kCall;
    core_.out_by_sequence.put(core_.sequence_key(index, submission.sequence), out);
  }

  InMessage& message = core_.ins[in];
  message.local = true;
  message.unlisted = true;
  message.order_none = order_none;
  message.out = out;
  message.out_generation = sent.generation;
  message.origin_node = core_.config.self;
  message.origin_worker = static_cast<std::uint16_t>(core_.config.index);
  message.key_bytes = submission.key_bytes;
  wire::MessageHeader& header = message.header;
  header.id = {channel.attachment, channel.number, submission.sequence};
  header.hash = submission.hash;
  header.epoch = core_.view ? core_.view->epoch : 0;
  header.payload_bytes = submission.payload_bytes;
  header.level = sent.header.level;
  header.priority = submission.priority;
  if (order_none) header.flags |= wire::kOrderNone;
  if (sent.no_wait) header.flags |= wire::kNoWait;
  if (call) header.flags |= wire::kCall;
  std::memcpy(message.bytes.data(), submission.inline_bytes,
              submission.key_bytes + static_cast<std::size_t>(submission.payload_bytes));

  channel.next_sequence = submission.sequence + 1;
  ++channel.submitted;
  ++channel.unlisted;
  ++core_.outs_of[channel.domain];
  ++core_.counters.taken;
  ++core_.counters.in_flight_now;
  ++core_.counters.received;
  channel.outstanding.push_back(core_.outs, out);
  if (submission.deadline_ns != 0)
    core_.deadlines.add({submission.deadline_ns, out, sent.generation});
  if (header.level != Level::kProcessed) {
    message.settled = true;
    on_local_result(out, sent.generation, Ending::kDone, Reason::kNone);
  }
  core_.groups->enqueue_unlisted(in);
  return true;
}

void Outbound::enlist(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  enlist_runs(index);
  if (channel.unlisted == 0) return;
  channel.unlisted = 0;
  for (std::uint32_t out = channel.outstanding.front(); out != kNone;
       out = core_.outs[out].channel_link.next) {
    OutMessage& sent = core_.outs[out];
    if (!std::exchange(sent.unlisted, false)) continue;
    const InMessage* message = sent.state == OutState::kLocal && sent.local_in != kNone
                                   ? &core_.ins[sent.local_in]
                                   : nullptr;
    if (message != nullptr) {
      const std::size_t used =
          message->key_bytes + static_cast<std::size_t>(message->header.payload_bytes);
      std::memcpy(sent.bytes.data(), message->bytes.data(), used);
      sent.header = message->header;
      sent.header.key = std::span<const std::byte>(sent.bytes.data(), message->key_bytes);
      sent.header.service = core_.services[sent.service];
      sent.payload = sent.bytes.data() + message->key_bytes;
      if (!RW_MUTANT(131)) join_chain(out);
      core_.inbound->enlist(sent.local_in);
    }
    core_.out_by_sequence.put(core_.sequence_key(index, sent.header.id.sequence), out);
  }
}

// ---- records -----------------------------------------------------------------------------------

std::uint32_t Inbound::take_record(std::uint16_t service, DomainIndex domain) {
  if (!has_room(service, domain)) return kNone;
  const std::uint32_t in = core_.ins.take();
  if (in == kNone) return kNone;
  ++in_use_[service];
  core_.ins[in].service = service;
  core_.ins[in].domain = domain;
  return in;
}

void Inbound::finish_unlisted(std::uint32_t in, Reason reason) {
  InMessage& message = core_.ins[in];
  if (!message.settled && message.out != kNone)
    core_.outbound->on_local_result(message.out, message.out_generation, Ending::kDone, reason);
  give_back(in);
}

void Inbound::enlist(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  message.identity_key = core_.identity_key(message.header.id);
  core_.in_by_identity.put(message.identity_key, in);
  core_.windows.mark(message.origin_node, message.header.id, Seen::kQueued);
  message.unlisted = false;
}

// ---- consumers ---------------------------------------------------------------------------------

/// The only consumer of a group, with room and nothing before what comes now, and no other that
/// left the service and still holds some, of the same key perhaps; else kNone.
std::uint32_t Groups::ready_alone(const Group& group) const {
  if (group.consumers.size() != 1 || (!group.queued.empty() && !RW_MUTANT(135))) return kNone;
  const std::uint32_t at = group.consumers.front();
  const Consumer& consumer = consumers_[at];
  return (consumer.in_flight == group.in_flight || RW_MUTANT(133)) && consumer.pending.empty() &&
                 has_room(consumer)
             ? at
             : kNone;
}

void Groups::enqueue_unlisted(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  const std::uint32_t at = ready_alone(groups_[message.service]);
  if (at == kNone) return enqueue(in);
  message.arrival = ++last_arrival_;
  hand_out(in, at);  // to the only one there is: no key need be bound to it
}

void Groups::release_unlisted(std::uint32_t in, bool replied) {
  InMessage& message = core_.ins[in];
  core_.channels[message.channel].held.remove(core_.ins, in);
  if (consumers_[message.consumer].in_flight > 0) --consumers_[message.consumer].in_flight;
  --groups_[message.service].in_flight;
  unbind(message);
  const bool call = (message.header.flags & wire::kCall) != 0;
  core_.inbound->finish_unlisted(in, call && replied ? Reason::kReplyFollows : Reason::kNone);
}

void Groups::enlist(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  const OutMessage* sender = message.out == kNone ? nullptr : &core_.outs[message.out];
  if (sender != nullptr && sender->generation == message.out_generation)
    core_.outbound->enlist(sender->channel);
  message.unlisted = false;
}

/// Consumers come or go: what the only one has, is bound to it.
void Groups::bind_unlisted(std::uint16_t service) {
  const Group& group = groups_[service];
  if (group.consumers.size() != 1 || RW_MUTANT(134)) return;
  const std::uint32_t at = group.consumers.front();
  const Channel& channel = core_.channels[consumers_[at].channel];
  for (std::uint32_t in = channel.held.front(); in != kNone;
       in = IndexList<InMessage>::next(core_.ins, in)) {
    InMessage& message = core_.ins[in];
    if (message.consumer == at && message.service == service && !message.bound) bind(message, at);
  }
}

}  // namespace ringwire::worker
