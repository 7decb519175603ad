// The entry of a message of a run that is whole, written from the run's bytes (groups_runs.cc).
#include <cstring>

#include "engine/worker/channels.h"
#include "engine/worker/delivery_entry.h"

namespace ringwire::worker {

bool Channels::deliver_of_run(ChannelIndex index, std::uint32_t at) {
  Channel& channel = core_.channels[index];
  ipc::Delivery* const entry = channel.ipc->claim_delivery(core_.config.index);
  if (entry == nullptr) return false;
  InRun& run = core_.in_runs[at];
  const Link& link = core_.links[run.link_index];
  const std::uint32_t which = run.given++;
  const wire::RunEntry message = wire::run_entry_at(run.bytes.data() + run.given_bytes);
  run.given_bytes += message.whole_bytes();
  run.with_program |= std::uint32_t{1} << which;
  ++channel.delivered;
  ++channel.held_of_runs;
  ++core_.counters.delivered;
  const MessageId& first = run.header.id;
  const ipc::OriginToken origin{
      .attachment_high = first.attachment.high,
      .attachment_low = first.attachment.low,
      .sequence = first.sequence + message.sequence_offset,
      .node_incarnation = core_.config.incarnation_low,
      .channel = first.channel,
      .node = link.node,
      .flags = 0,
      .home_worker = static_cast<std::uint16_t>(link.remote_worker),
      .reserved = 0,
      .seal = 0,
      .reserved2 = 0,
  };
  write_entry(*entry,
              {.token = run_token(run.generation, at, which),
               .hash = message.hash,
               .payload_bytes = message.payload_bytes,
               .key_bytes = message.key_bytes,
               .service = run.service},
              origin, core_.origin_seal);
  std::memcpy(entry->inline_bytes, message.bytes, message.used_bytes());
  note_delivery(index);
  return true;
}

}  // namespace ringwire::worker
