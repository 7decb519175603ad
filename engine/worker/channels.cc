#include "engine/worker/channels.h"

#include <algorithm>
#include <cstring>

#include "base/mutant.h"
#include "engine/worker/delivery_entry.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/outbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {
namespace {

/// What a program is told of a message that was given to it just now.
std::uint16_t flags_of(const InMessage& message) {
  const std::uint16_t sent = message.header.flags;
  std::uint16_t flags = 0;
  if (!RW_MUTANT(84) &&
      (message.redelivered || message.deliveries > 1 || (sent & wire::kRedelivered) != 0))
    flags |= ipc::kDeliverRedelivered;
  if ((sent & wire::kDegraded) != 0) flags |= ipc::kDeliverDegraded;
  if ((sent & wire::kReply) != 0) flags |= ipc::kDeliverReply;
  if ((sent & wire::kBroadcast) != 0) flags |= ipc::kDeliverBroadcast;
  if ((sent & wire::kReplica) != 0) flags |= ipc::kDeliverReplica;
  if ((sent & wire::kCall) != 0) flags |= ipc::kDeliverCall;
  if (message.lender != kNone) flags |= ipc::kDeliverShared;
  return flags;
}

/// Outcomes wait for room in its delivery queue.
bool untold(const Channel& channel) {
  return !channel.ended.empty() || !channel.shorts_to_tell.empty();
}

}  // namespace

void Channels::add(const AddChannel& command) {
  Channel& channel = core_.channels[command.index];
  RW_CHECK(channel.ipc == nullptr);
  channel = Channel{};
  channel.ipc = command.channel;
  channel.attachment = command.attachment;
  channel.number = command.number;
  channel.domain = command.domain;
  channel.home = command.channel->home_worker() == core_.config.index;
  channel.next_sequence = std::max<std::uint64_t>(command.next_sequence, 1);
  channel.run_generation = static_cast<std::uint32_t>(core_.now / kMillisecondNs);
  core_.pool(command.domain);
  core_.channel_by_identity.put(core_.channel_key(command.attachment, command.number),
                                command.index);
  core_.bell_changes.push_back({command.index, command.channel->worker_bell(core_.config.index)});
  touch(command.index);
}

void Channels::remove(const RemoveChannel& command) {
  Channel& channel = core_.channels[command.index];
  if (channel.ipc == nullptr || channel.removing) return;
  // What it had released counts; what it had submitted runs to its outcome (G8).
  // Bounded by what its queue can hold: another thread of the program may go on writing.
  for (std::uint32_t round = 0;
       round < ipc::kMaxQueueEntries / kReleasesPerChannelTurn && take_releases(command.index);
       ++round) {
  }
  core_.short_way->enlist_all_of(command.index);
  channel.removing = true;
  channel.orphans_until_ns = core_.now + kOrphanGraces * core_.config.program_grace_ns;
  ++core_.removing_channels;
  core_.quarantine.forget(command.index);
  if (!RW_MUTANT(86)) core_.outbound->abandon_calls(command.index);
  core_.channel_by_identity.erase(core_.channel_key(channel.attachment, channel.number));
  core_.groups->remove_channel(command.index);
  while (!channel.backlog.empty()) {
    core_.inbound->finish(channel.backlog.front(), Ending::kFailed, Reason::kOriginGone);
  }
  // Replies and direct messages that it held; those of groups were given to others.
  while (!channel.held.empty() && !RW_MUTANT(87)) {
    const std::uint32_t in = channel.held.pop_front(core_.ins);
    core_.inbound->finish(in, Ending::kUnknown, Reason::kUnprocessed);
  }
  touch(command.index);
}

void Channels::add_file(const AddFile& command) {
  Channel& channel = core_.channels[command.index];
  if (channel.ipc != nullptr)
    channel.files.push_back({command.file, 0, command.data, command.bytes, command.shared_file});
  core_.outbox.tell(FileReady{command.index, command.request});
}

void Channels::drop_file(const DropFile& command) {
  Channel& channel = core_.channels[command.index];
  const auto at = std::find_if(channel.files.begin(), channel.files.end(),
                               [&](const TransmitFile& file) { return file.file == command.file; });
  const bool busy = at != channel.files.end() && at->users != 0;
  if (at != channel.files.end() && !busy) channel.files.erase(at);
  core_.outbox.tell(FileGone{command.index, command.request, busy});
}

void Channels::touch(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  channel.idle_turns = 0;
  if (channel.active || channel.ipc == nullptr) return;
  channel.active = true;
  channel.ipc->unpark(core_.config.index);
  core_.active.push_back(index);
}

void Channels::violate(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  if (channel.violated) return;
  channel.violated = true;
  core_.outbox.tell(ChannelViolated{index});
}

/// What broke a rule of its queues stays awake until that was told: it does not ring again.
bool Channels::park(Channel& channel) {
  if (channel.ipc->violated() && !channel.violated) return false;
  return channel.ipc->park(core_.config.index);
}

bool Channels::poll() {
  bool any = false;
  for (const ChannelIndex index : blocked_) touch(index);
  blocked_.clear();
  for (std::size_t at = 0; at < core_.active.size();) {
    const ChannelIndex index = core_.active[at];
    Channel& channel = core_.channels[index];
    // What is new goes first: whoever gets it waits for it, and what was released waits for nobody.
    bool busy = channel.home && (channel.has_stash || channel.ipc->submission_waits()) &&
                core_.outbound->take(index);
    if (!channel.removing && channel.ipc->release_waits(core_.config.index))
      busy |= take_releases(index);
    if (channel.ipc->violated()) violate(index);
    if (busy) {
      channel.idle_turns = 0;
      core_.worked = true;
      any = true;
    } else if (channel.removing) {
      core_.outbound->report(index);
      const bool more = channel.home && !channel.violated &&
                        (channel.has_stash || channel.ipc->submission_waits());
      if (!more) {
        // Whatever else ends of it touches it again.
        channel.active = false;
        core_.active[at] = core_.active.back();
        core_.active.pop_back();
        if (channel.open_count() == 0 && channel.replied == 0 && channel.lent == 0)
          finish_removal(index);
        continue;
      }
    } else if (++channel.idle_turns > kTurnsUntilParked && !untold(channel) &&
               channel.backlog.empty() && !channel.has_stash && !channel.deliveries_dirty) {
      if (park(channel)) {
        channel.active = false;
        core_.active[at] = core_.active.back();
        core_.active.pop_back();
        continue;
      }
      channel.idle_turns = 0;
    }
    ++at;
  }
  return any;
}

bool Channels::take_releases(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  if (channel.violated) return false;
  ipc::Release release;
  std::uint32_t count = 0;
  while (count < kReleasesPerChannelTurn &&
         channel.ipc->poll_release(core_.config.index, release)) {
    ++count;
    // First of all: the same message may have been delivered to this program again.
    if (!core_.quarantine.empty() && core_.quarantine.come_back(index, release.token)) {
      ++core_.counters.late_releases;
      continue;
    }
    if (core_.groups->on_release_along(index, release)) continue;
    if (is_run_token(release.token)) {
      if (release.verdict > static_cast<std::uint32_t>(ipc::Verdict::kRefuse) ||
          !core_.groups->on_release_of_run(index, release))
        ++core_.counters.bad_releases;
      continue;
    }
    if (core_.short_way->release(index, release)) continue;
    const std::uint32_t in = find_released(release.token);
    if (in == kNone || core_.ins[in].state != InState::kDelivered ||
        core_.ins[in].channel != index ||
        release.verdict > static_cast<std::uint32_t>(ipc::Verdict::kRefuse)) {
      ++core_.counters.bad_releases;  // released twice, redelivered meanwhile, or made up
      continue;
    }
    core_.groups->on_release(in, static_cast<ipc::Verdict>(release.verdict),
                             (release.flags & ipc::kReleaseReplied) != 0);
  }
  core_.groups->finish_releases();
  if (count != 0) channel.ipc->publish_releases(core_.config.index);
  if (channel.ipc->violated()) violate(index);
  return count != 0;
}

/// The InMessage that this token names; kNone: there is none.
std::uint32_t Channels::find_released(std::uint64_t token) const {
  const auto index = static_cast<std::uint32_t>(token);
  const auto generation = static_cast<std::uint32_t>(token >> 32);
  if ((index & kShortBit) != 0) return core_.short_way->find_moved(index & ~kShortBit, generation);
  const bool known = index < core_.ins.capacity() && core_.ins[index].generation == generation &&
                     core_.ins[index].alias == kNone;
  return known ? index : kNone;
}

/// An entry was filled. A program that is awake begins with it while the turn goes on; flush()
/// wakes one that is not.
void Channels::note_delivery(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  if (++channel.unshown >= kDeliveriesShownTogether) show(channel);
  note_deliveries(index);
}

void Channels::note_deliveries(ChannelIndex index) {
  core_.channels[index].deliveries_dirty = true;
  touch(index);  // it will release soon: better looked at than rung for
  core_.worked = true;
}

void Channels::show(Channel& channel) {
  channel.unshown = 0;
  channel.outcomes = nullptr;  // the program may read it
  channel.ipc->publish_deliveries(core_.config.index);
}

bool Channels::deliver(ChannelIndex index, std::uint32_t in, ipc::DeliveryKind kind,
                       std::uint32_t call) {
  Channel& channel = core_.channels[index];
  ipc::Delivery* entry = channel.ipc->claim_delivery(core_.config.index);
  if (entry == nullptr) return false;
  InMessage& message = core_.ins[in];
  ++message.deliveries;
  message.state = InState::kDelivered;
  message.channel = index;
  channel.held.push_back(core_.ins, in);
  ++channel.delivered;
  ++core_.counters.delivered;
  if (message.deliveries > 1) ++core_.counters.redelivered;

  const wire::MessageHeader& header = message.header;
  const ipc::OriginToken origin{
      .attachment_high = header.id.attachment.high,
      .attachment_low = header.id.attachment.low,
      .sequence = header.id.sequence,
      .node_incarnation = core_.config.incarnation_low,
      .channel = header.id.channel,
      .node = message.origin_node,
      .flags = (header.flags & wire::kCall) != 0 ? 1U : 0U,
      .home_worker = message.origin_worker,
      .reserved = 0,
      .seal = 0,
      .reserved2 = 0,
  };
  const bool inside = message.extent.empty();
  const bool kept = call != kNone && core_.outs[call].lent != 0;
  write_entry(*entry,
              {.token = core_.delivery_token(in),
               .hash = header.hash,
               .payload_bytes = header.payload_bytes,
               .payload_offset = inside ? 0 : message.extent.offset + message.key_room,
               .ticket = call == kNone ? 0 : header.in_reply_to.sequence,
               .extent_file = inside ? 0 : message.extent.file,
               .attempt = header.attempt + message.deliveries - 1,
               .key_bytes = message.key_bytes,
               .flags = static_cast<std::uint16_t>(flags_of(message) |
                                                   (kept ? ipc::kDeliverMemoryKept : 0)),
               .service = message.service,
               .kind = kind},
              origin, core_.origin_seal(origin));
  if (inside)
    std::memcpy(entry->inline_bytes, message.bytes.data(),
                message.key_bytes + static_cast<std::size_t>(header.payload_bytes));
  if (message.lender != kNone) {
    ++core_.counters.shared;
    if (message.key_aside()) std::memcpy(entry->inline_bytes, message.key(), message.key_bytes);
  }
  note_delivery(index);
  return true;
}

void Channels::push_direct(ChannelIndex index, std::uint32_t in) {
  core_.ins[in].state = InState::kBacklog;
  core_.ins[in].channel = index;
  core_.channels[index].backlog.push_back(core_.ins, in);
  touch(index);
}

void Channels::flush() {
  for (const ChannelIndex index : core_.active) {
    Channel& channel = core_.channels[index];
    if (channel.removing ||
        (!channel.deliveries_dirty && channel.backlog.empty() && !untold(channel)))
      continue;
    while (!channel.backlog.empty()) {
      const std::uint32_t in = channel.backlog.front();
      InMessage& message = core_.ins[in];
      const bool reply = (message.header.flags & wire::kReply) != 0;
      std::uint32_t call = kNone;
      if (reply) {
        call = core_.outbound->find_call(index, message.header.in_reply_to.sequence);
        if (call == kNone) {  // it timed out, or was answered twice
          core_.inbound->finish(in, Ending::kFailed, Reason::kOriginGone);
          continue;
        }
      }
      channel.backlog.remove(core_.ins, in);
      if (!deliver(index, in, reply ? ipc::DeliveryKind::kReply : ipc::DeliveryKind::kDirect,
                   call)) {
        if (!RW_MUTANT(85)) channel.backlog.push_front(core_.ins, in);
        break;
      }
      if (reply) core_.outbound->complete_call(call);
      if (message.header.level == Level::kAccepted)
        core_.inbound->settle(in, Ending::kDone, Reason::kNone);
    }
    if (!channel.ended.empty()) core_.outbound->report(index);
    if (!channel.shorts_to_tell.empty()) core_.short_way->report(index);
    if (!channel.deliveries_dirty) continue;
    channel.deliveries_dirty = false;
    core_.handed_over = true;
    show(channel);
    channel.ipc->wake_if_waiting();
    core_.worked = true;
  }
}

bool Channels::waits_for_others(const Channel& channel) const {
  if (channel.deliveries_dirty) return false;
  return channel.removing ? !untold(channel) && channel.open_count() != 0 : channel.has_stash;
}

bool Channels::park_all() {
  for (std::size_t at = 0; at < core_.active.size(); ++at) {
    Channel& channel = core_.channels[core_.active[at]];
    // What waits for others' messages to end is looked at after a nap: else one program that is
    // gone, or has more to send than it may have, would keep the worker awake.
    if (waits_for_others(channel)) continue;
    if (!channel.deliveries_dirty && park(channel)) continue;
    for (std::size_t undo = 0; undo <= at; ++undo)
      core_.channels[core_.active[undo]].ipc->unpark(core_.config.index);
    return false;
  }
  for (const ChannelIndex index : core_.active) {
    Channel& channel = core_.channels[index];
    channel.active = false;
    // A program does not ring when it takes outcomes out of its queue: who has more for it looks
    // again.
    if (untold(channel) || !channel.backlog.empty() || waits_for_others(channel))
      blocked_.push_back(index);
  }
  core_.active.clear();
  return true;
}

ChannelIndex Channels::find(const Id128& attachment, std::uint32_t number) const {
  const std::uint32_t index = core_.channel_by_identity.find(core_.channel_key(attachment, number));
  if (index == kNone) return kNone;
  const Channel& channel = core_.channels[index];
  return channel.ipc != nullptr && channel.attachment == attachment && channel.number == number
             ? index
             : kNone;
}

void Channels::finish_removal(ChannelIndex index) {
  core_.channels[index] = Channel{};
  --core_.removing_channels;
  core_.bell_changes.push_back({index, -1});
  core_.outbox.tell(ChannelGone{index});
}

}  // namespace ringwire::worker
