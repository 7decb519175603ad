// The entries of messages of a run that is whole, written from the run's bytes (groups_runs.cc).
#include <cstring>

#include "engine/worker/channels.h"
#include "engine/worker/delivery_entry.h"

namespace ringwire::worker {

std::uint32_t Channels::deliver_of_run(ChannelIndex index, std::uint32_t at, std::uint32_t most) {
  if (most == 0) return 0;
  Channel& channel = core_.channels[index];
  InRun& run = core_.in_runs[at];
  const Link& link = core_.links[run.link_index];
  const MessageId& first = run.header.id;
  ipc::OriginToken origin{
      .attachment_high = first.attachment.high,
      .attachment_low = first.attachment.low,
      .sequence = first.sequence,
      .node_incarnation = core_.config.incarnation_low,
      .channel = first.channel,
      .node = link.node,
      .flags = 0,
      .home_worker = static_cast<std::uint16_t>(link.remote_worker),
      .reserved = 0,
      .seal = 0,
      .reserved2 = 0,
  };
  const std::uint64_t seal = core_.origin_seal(origin);  // of all of them: none is a call
  std::uint32_t count = 0;
  for (; count < most; ++count) {
    ipc::Delivery* const entry = channel.ipc->claim_delivery(core_.config.index);
    if (entry == nullptr) break;
    const wire::RunEntry message = wire::run_entry_at(run.bytes.data() + run.given_bytes);
    run.given_bytes += message.whole_bytes();
    origin.sequence = first.sequence + message.sequence_offset;
    write_entry(*entry,
                {.token = run_token(run.generation, at, run.given++),
                 .hash = message.hash,
                 .payload_bytes = message.payload_bytes,
                 .key_bytes = message.key_bytes,
                 .service = run.service},
                origin, seal);
    std::memcpy(entry->inline_bytes, message.bytes, message.used_bytes());
    if (++channel.unshown >= kDeliveriesShownTogether) show(channel);
  }
  if (count == 0) return 0;
  run.with_program |= wire::run_mask(count) << (run.given - count);
  channel.delivered += count;
  channel.held_of_runs += count;
  core_.counters.delivered += count;
  note_deliveries(index);
  return count;
}

}  // namespace ringwire::worker
