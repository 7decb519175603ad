#include "engine/worker/groups.h"

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/inbound.h"
#include "engine/worker/outbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {
namespace {

/// Of a list, and of a group's consumers, that are looked at for one to drop: O(1), and what is
/// further behind has others in front of it that are not to be dropped.
constexpr std::uint32_t kMaxSeenToDrop = 64;

}  // namespace

Groups::Groups(Core& core)
    : core_(core),
      groups_(kMaxServices),
      keys_(core.config.in_messages),
      key_index_(core.config.in_messages) {
  for (Group& group : groups_) group.alone_since_ns = core.now;
}

// ---- consumers ----------------------------------------------------------------------------------

void Groups::add_consumer(const AddConsumer& command) {
  Channel& channel = core_.channels[command.index];
  if (channel.ipc == nullptr || channel.removing) return;
  for (const std::uint32_t at : channel.consumers)
    if (consumers_[at].service == command.service) return;
  auto free = std::find_if(consumers_.begin(), consumers_.end(), [](const Consumer& consumer) {
    // One that ended stays until what it handed out has come back.
    return !consumer.live && consumer.in_flight == 0;
  });
  if (free == consumers_.end()) free = consumers_.insert(free, Consumer{});
  *free = Consumer{};
  free->live = true;
  free->channel = command.index;
  free->service = command.service;
  free->share = command.share;
  free->prefetch = command.prefetch == 0
                       ? kDefaultPrefetch
                       : std::min(command.prefetch, channel.ipc->delivery_entries());
  runs_apart(command.service);
  core_.short_way->enlist_service(command.service);
  Group& group = groups_[command.service];
  const auto at = static_cast<std::uint32_t>(free - consumers_.begin());
  if (group.consumers.empty()) group.order_none = command.order_none;
  group.domain = channel.domain;
  group.consumers.push_back(at);
  if (command.share) ++group.sharing_count;
  channel.consumers.push_back(at);
  keep_held(at);
}

/// What its program has still, from when it served before, is with this consumer.
void Groups::keep_held(std::uint32_t at) {
  Consumer& consumer = consumers_[at];
  const Channel& channel = core_.channels[consumer.channel];
  for (std::uint32_t in = channel.held.front(); in != kNone;
       in = IndexList<InMessage>::next(core_.ins, in)) {
    InMessage& message = core_.ins[in];
    if (to_channel(message.header) || message.service != consumer.service) continue;
    --consumers_[message.consumer].in_flight;
    ++consumer.in_flight;
    message.consumer = at;
    const std::uint32_t key = message.bound ? key_index_.find(message.group_key) : kNone;
    if (key != kNone) keys_[key].consumer = at;
  }
}

void Groups::remove_consumer(const RemoveConsumer& command) {
  Channel& channel = core_.channels[command.index];
  for (const std::uint32_t at : std::vector<std::uint32_t>(channel.consumers)) {
    if (consumers_[at].service != command.service) continue;
    std::erase(channel.consumers, at);
    // What its program has already, it still releases; only what waits goes to others.
    end_consumer(at);
  }
}

void Groups::remove_channel(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  for (const std::uint32_t at : channel.consumers) end_consumer(at);
  channel.consumers.clear();
  redeliver_held(index, false);
}

void Groups::take_back(ChannelIndex index) {
  const Channel& channel = core_.channels[index];
  if (channel.ipc == nullptr || channel.removing) return;
  for (const std::uint32_t at : channel.consumers) {
    runs_apart(consumers_[at].service);
    core_.short_way->enlist_service(consumers_[at].service);
  }
  redeliver_held(index, true);
}

void Groups::redeliver_held(ChannelIndex index, bool may_be_read) {
  Channel& channel = core_.channels[index];
  // Newest first to the front of the group, so that the oldest ends up first.
  for (std::uint32_t in = channel.held.back(); in != kNone;) {
    InMessage& message = core_.ins[in];
    const std::uint32_t older = message.link.previous;
    if ((message.header.flags & (wire::kReply | wire::kToOrigin)) == 0) {
      channel.held.remove(core_.ins, in);
      if (may_be_read) core_.quarantine.lend(index, core_.delivery_token(in));
      redeliver(in);
    }
    in = older;
  }
}

void Groups::end_consumer(std::uint32_t at) {
  runs_apart(consumers_[at].service);
  core_.short_way->enlist_service(consumers_[at].service);
  Consumer& consumer = consumers_[at];
  Group& group = groups_[consumer.service];
  std::erase(group.consumers, at);
  if (consumer.share) --group.sharing_count;
  consumer.live = false;
  if (group.consumers.empty()) group.alone_since_ns = core_.now;
  // Its list goes back to the group's front, newest first.
  while (!consumer.pending.empty()) {
    const std::uint32_t in = consumer.pending.back();
    consumer.pending.remove(core_.ins, in);
    unbind(core_.ins[in]);
    if (!RW_MUTANT(80)) queue(in, true);
  }
  // Keys of what its program still holds stay bound to a consumer that is gone: the next message of
  // such a key waits in the group until the last is released or redelivered.
}

void Groups::redeliver(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  lose_token(message);
  if (!RW_MUTANT(161)) waiting_apart(message.service);
  Group& group = groups_[message.service];
  if (message.consumer != kNone && consumers_[message.consumer].in_flight > 0)
    --consumers_[message.consumer].in_flight;
  group.in_flight -= RW_MUTANT(78) ? 0 : 1;
  message.redelivered = true;
  if (message.deliveries >= core_.config.max_deliveries + (RW_MUTANT(76) ? 1 : 0)) {
    unbind(message);
    message.state = InState::kDelivered;
    core_.inbound->finish(in, Ending::kUnknown, Reason::kMaxDeliveries);
    return;
  }
  if (!message.bound || !consumers_[message.consumer].live ||
      consumers_[message.consumer].pending.empty()) {
    unbind(message);
    queue(in, !RW_MUTANT(77));
    return;
  }
  // Its consumer has others that wait for room, of this key perhaps: it goes before those.
  message.state = InState::kAtConsumer;
  put_back(consumers_[message.consumer].pending, in);
}

/// To the front, but behind those that came back before it and had arrived before it: what a
/// program had may have been with it twice, and is not in order there.
void Groups::put_back(IndexList<InMessage>& list, std::uint32_t in) {
  const std::uint64_t arrival = core_.ins[in].arrival;
  std::uint32_t at = list.front();
  while (at != kNone) {
    const InMessage& other = core_.ins[at];
    if (other.deliveries == 0 || (other.arrival > arrival) != RW_MUTANT(79)) break;
    at = IndexList<InMessage>::next(core_.ins, at);
  }
  at == kNone ? list.push_back(core_.ins, in) : list.insert_before(core_.ins, at, in);
  some_wait_ = true;
}

// ---- who gets it --------------------------------------------------------------------------------

bool Groups::admits(std::uint16_t service, std::uint64_t bytes, bool no_wait) const {
  const Group& group = groups_[service];
  if (!group.consumers.empty()) return true;  // bounded by the credit of its service
  if (no_wait) return false;
  return core_.now - group.alone_since_ns < core_.config.program_grace_ns &&
         group.queued_bytes + bytes <= core_.config.queue_bytes;
}

bool Groups::make_room(std::uint16_t service, std::uint64_t bytes) {
  const Group& group = groups_[service];
  if (!group.consumers.empty() || bytes > core_.config.queue_bytes) return false;
  while (!admits(service, bytes, false))
    if (!drop_oldest(service)) return false;
  return true;
}

std::uint32_t Groups::first_to_drop(const IndexList<InMessage>& list) const {
  std::uint32_t in = list.front();
  for (std::uint32_t seen = 0; in != kNone && seen < kMaxSeenToDrop; ++seen) {
    const InMessage& message = core_.ins[in];
    if (message.header.level == Level::kNone && message.deliveries == 0) return in;
    in = IndexList<InMessage>::next(core_.ins, in);
  }
  return kNone;
}

bool Groups::drop_oldest(std::uint16_t service) {
  waiting_apart(service);
  const Group& group = groups_[service];
  std::uint32_t oldest = first_to_drop(group.queued);
  const auto count = static_cast<std::uint32_t>(group.consumers.size());
  for (std::uint32_t step = 0; step < std::min(count, kMaxSeenToDrop); ++step) {
    const Consumer& consumer = consumers_[group.consumers[(group.next + step) % count]];
    const std::uint32_t in = first_to_drop(consumer.pending);
    if (in != kNone && (oldest == kNone || core_.ins[in].arrival < core_.ins[oldest].arrival))
      oldest = in;
  }
  if (oldest == kNone) return false;
  ++core_.counters.dropped_oldest;
  core_.inbound->finish(oldest, Ending::kUnknown, Reason::kQueueFull);
  return true;
}

bool Groups::keyed(const InMessage& message) const {
  if (message.order_none || groups_[message.service].order_none || RW_MUTANT(73)) return false;
  // A broadcast without a key belongs to no key's order.
  return (message.header.flags & wire::kBroadcast) == 0 || message.key_bytes != 0;
}

std::uint64_t Groups::key_of(std::uint64_t hash, std::uint16_t service) const {
  // The secret goes in first, so that nobody can choose hashes that meet another service's keys.
  return mix64(mix64(hash + core_.config.origin_secret[1]) ^ service);
}

bool Groups::has_room(const Consumer& consumer) const {
  return (consumer.in_flight < consumer.prefetch || RW_MUTANT(75)) &&
         core_.channels[consumer.channel].ipc->delivery_room(core_.config.index) > 0;
}

std::uint32_t Groups::pick(Group& group) {
  // The fewest in flight among the next 16 in turn: fair, and O(1) with any number of consumers.
  const auto count = static_cast<std::uint32_t>(group.consumers.size());
  std::uint32_t best = kNone;
  for (std::uint32_t step = 0; step < std::min(count, 16U); ++step) {
    const std::uint32_t at = group.consumers[(group.next + step) % count];
    if (!has_room(consumers_[at])) continue;
    if (best == kNone || consumers_[at].in_flight < consumers_[best].in_flight) best = at;
    if (consumers_[best].in_flight == 0) break;
  }
  if (count != 0) group.next = (group.next + 1) % count;
  return best;
}

void Groups::enqueue(std::uint32_t in) {
  const std::uint16_t service = core_.ins[in].service;
  waiting_apart(service);
  enqueue_one(in, ++core_.next_order);
}

void Groups::enqueue_one(std::uint32_t in, std::uint64_t arrival) {
  InMessage& message = core_.ins[in];
  Group& group = groups_[message.service];
  message.group_key = key_of(message.header.hash, message.service);
  message.arrival = arrival;
  // Of what may be dropped nobody waits for the credit: the next one comes, and pushes it out.
  if (group.consumers.empty() && core_.config.drop_oldest && message.header.level == Level::kNone)
    core_.inbound->return_credit(in);
  if (!group.queued.empty() || group.consumers.empty()) return queue(in, false);
  if (keyed(message)) {
    const std::uint32_t key = key_index_.find(message.group_key);
    if (key != kNone) {
      if (!consumers_[keys_[key].consumer].live) return queue(in, false);
      return give(in, keys_[key].consumer);
    }
  }
  const std::uint32_t consumer = pick(group);
  if (consumer == kNone) return queue(in, false);
  give(in, consumer);
}

void Groups::queue(std::uint32_t in, bool front) {
  InMessage& message = core_.ins[in];
  Group& group = groups_[message.service];
  message.state = InState::kQueued;
  message.consumer = kNone;
  message.channel = kNone;
  some_wait_ = true;
  group.queued_bytes += message.header.payload_bytes;
  if (front && message.deliveries != 0) {
    put_back(group.queued, in);
  } else if (front) {
    group.queued.push_front(core_.ins, in);
  } else {
    group.queued.push_back(core_.ins, in);
  }
}

void Groups::give(std::uint32_t in, std::uint32_t at) {
  InMessage& message = core_.ins[in];
  Consumer& consumer = consumers_[at];
  bind(message, at);
  message.consumer = at;
  if (consumer.pending.empty() && has_room(consumer) && hand_out(in, at)) return;
  message.state = InState::kAtConsumer;
  consumer.pending.push_back(core_.ins, in);
  some_wait_ = true;
}

void Groups::bind(InMessage& message, std::uint32_t at) {
  if (!keyed(message)) return;
  message.group_key = key_of(message.header.hash, message.service);
  bind_key(message.group_key, at);
  message.bound = true;
}

void Groups::bind_key(std::uint64_t key, std::uint32_t at) {
  std::uint32_t entry = key_index_.find(key);
  if (entry == kNone) {
    entry = keys_.take();
    keys_[entry].consumer = at;
    key_index_.put(key, entry);
  }
  ++keys_[entry].count;
}

void Groups::unbind(InMessage& message) {
  if (std::exchange(message.bound, false)) unbind_key(message.group_key);
}

void Groups::unbind_key(std::uint64_t key) {
  const std::uint32_t entry = key_index_.find(key);
  if (entry == kNone || (--keys_[entry].count != 0 && !RW_MUTANT(74))) return;
  key_index_.erase(key);
  keys_.give_back(entry);
}

bool Groups::hand_out(std::uint32_t in, std::uint32_t at) {
  Consumer& consumer = consumers_[at];
  if (!fit_memory(in, consumer)) return false;
  if (!core_.channels_part->deliver(consumer.channel, in, ipc::DeliveryKind::kMessage))
    return false;
  core_.ins[in].consumer = at;
  ++consumer.in_flight;
  ++groups_[core_.ins[in].service].in_flight;
  return true;
}

void Groups::forget(std::uint32_t in) {
  InMessage& message = core_.ins[in];
  if (message.state == InState::kQueued) {
    Group& group = groups_[message.service];
    group.queued.remove(core_.ins, in);
    group.queued_bytes -= message.header.payload_bytes;
  } else if (message.state == InState::kAtConsumer) {
    consumers_[message.consumer].pending.remove(core_.ins, in);
    unbind(message);
  }
}

void Groups::on_release(std::uint32_t in, ipc::Verdict verdict, bool replied) {
  InMessage& message = core_.ins[in];
  core_.channels[message.channel].held.remove(core_.ins, in);
  if ((message.header.flags & (wire::kReply | wire::kToOrigin)) != 0) {
    core_.inbound->finish(in, Ending::kDone, Reason::kNone);
    return;
  }
  if (verdict == ipc::Verdict::kRetry) return redeliver(in);
  if (consumers_[message.consumer].in_flight > 0) --consumers_[message.consumer].in_flight;
  --groups_[message.service].in_flight;
  unbind(message);
  if (verdict == ipc::Verdict::kRefuse) {
    core_.inbound->finish(in, Ending::kUnknown, Reason::kRefused);
    return;
  }
  const bool call = (message.header.flags & wire::kCall) != 0;
  core_.inbound->finish(in, Ending::kDone, call && replied ? Reason::kReplyFollows : Reason::kNone);
}

void Groups::dispatch() {
  if (!std::exchange(some_wait_, false)) return;
  for (std::size_t service = 0; service < core_.services.size(); ++service) {
    if (groups_[service].giving != kNone) give_runs(groups_[service]);
    some_wait_ |= groups_[service].giving != kNone;
  }
  for (std::uint32_t at = 0; at < consumers_.size(); ++at) {
    Consumer& consumer = consumers_[at];
    while (consumer.live && !consumer.pending.empty() && has_room(consumer)) {
      const std::uint32_t in = consumer.pending.pop_front(core_.ins);
      if (hand_out(in, at)) continue;
      consumer.pending.push_front(core_.ins, in);
      break;
    }
    if (!consumer.shorts.empty()) core_.short_way->hand_out_waiting(at);
    some_wait_ |= !consumer.pending.empty() || !consumer.shorts.empty();
  }
  for (std::size_t service = 0; service < core_.services.size(); ++service) {
    Group& group = groups_[service];
    some_wait_ |= !group.queued.empty();
    if (group.queued.empty() || group.consumers.empty()) continue;
    for (std::uint32_t in = group.queued.front(); in != kNone;) {
      InMessage& message = core_.ins[in];
      const std::uint32_t next = IndexList<InMessage>::next(core_.ins, in);
      std::uint32_t consumer = kNone;
      if (keyed(message)) {
        const std::uint32_t key = key_index_.find(message.group_key);
        if (key != kNone) {
          consumer = keys_[key].consumer;
          if (!consumers_[consumer].live) {  // who has the key left, but still holds some of it
            in = next;
            continue;
          }
        }
      }
      if (consumer == kNone) consumer = pick(group);
      if (consumer == kNone) break;
      group.queued.remove(core_.ins, in);
      group.queued_bytes -= message.header.payload_bytes;
      give(in, consumer);
      in = next;
    }
  }
}

}  // namespace ringwire::worker
