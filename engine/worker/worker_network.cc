#include "engine/worker/worker_state.h"

#include "engine/worker/crossing.h"

namespace ringwire::worker {

void Worker::State::receive() {
  if (core.now < receive_at_ns) return;
  for (std::uint32_t burst = 0; burst < kReceiveBurstsPerTurn; ++burst) {
    const std::size_t count = core.port.rx_burst(received);
    if (count == 0) {
      const bool programs = core.now - programs_at_ns < kProgramsAtWorkNs;
      const bool network = core.now - packets_at_ns < kNetworkAtWorkNs;
      if (receive_is_a_call && programs)
        receive_at_ns = core.now + (network ? kReceivePauseNs : kQuietReceivePauseNs);
      return;
    }
    packets_at_ns = core.now;
    core.worked = true;
    for (std::size_t at = 0; at < count; ++at) {
      const std::uint64_t connection = transport::connection_id_of(received[at].bytes);
      if (connection == 0) {
        ++core.counters.drop_not_a_frame;
        continue;
      }
      const std::uint32_t index = core.link_by_connection.find(connection);
      if (index == kNone) {
        ++core.counters.drop_unknown_connection;
        continue;
      }
      on_packet(index, received[at].bytes, received[at].waited_ns);
    }
    if (count < received.size()) return;
  }
}

void Worker::State::on_packet(std::uint32_t index, std::span<const std::byte> packet,
                              DurationNs waited_ns) {
  Link& link = core.links[index];
  link.session->on_packet(core.now, packet, events, waited_ns);
  inbound.on_events(index, events);
  if (link.session && link.session->closed()) {
    core.outbox.tell(
        SessionBroken{link.node, link.remote_worker, link.session->path_swallows_large()});
    end_session(index);
  }
}

void Worker::State::run_timers() {
  for (std::uint32_t index = 0; index < core.links.size(); ++index) {
    Link& link = core.links[index];
    if (link.session == nullptr || !link.session->due(core.now) ||
        !link.session->timer_due(core.now))
      continue;
    link.session->on_timer(core.now, events);
    inbound.on_events(index, events);
    if (link.session->closed()) {
      core.outbox.tell(
          SessionBroken{link.node, link.remote_worker, link.session->path_swallows_large()});
      end_session(index);
    }
  }
}

void Worker::State::transmit() {
  for (std::uint32_t burst = 0; burst < kTransmitBurstsPerTurn; ++burst) {
    // What the port did not take last time goes first; what sessions have stays with them
    // meanwhile.
    if (unsent_count == 0) fill_burst();
    if (unsent_count == 0) break;
    core.worked = true;
    packets_at_ns = core.now;
    const bool whole_burst = unsent_from == 0 && unsent_count == filled.size();
    const std::size_t taken = core.port.tx_burst(
        std::span<const port::TxPacket>(filled).subspan(unsent_from, unsent_count));
    unsent_from += taken;
    unsent_count -= taken;
    // What waits here may outlast the message that it points into.
    for (std::uint32_t index = 0; index < unsent_count; ++index)
      filled[unsent_from + index].gather_now();
    if (unsent_count != 0 || !whole_burst) break;
  }
  core.port.flush();
}

/// Writes up to a burst of packets from all sessions, beginning with another one each time. Buffers
/// that are not needed are kept for the next turn: an idle turn asks the port for nothing.
void Worker::State::fill_burst() {
  unsent_from = 0;
  const auto count = static_cast<std::uint32_t>(core.links.size());
  bool room = true;
  for (std::uint32_t step = 0; step < count && room; ++step) {
    const std::uint32_t at = next_link + step;
    Link& link = core.links[at < count ? at : at - count];
    if (link.session == nullptr || !link.destination_open || !link.session->due(core.now)) continue;
    do {
      if (spare_count == 0 && unsent_count < filled.size()) spare_count = core.port.tx_alloc(spare);
      room = unsent_count < filled.size() && spare_count != 0;
      if (!room) break;
      port::TxPacket& packet = filled[unsent_count];
      packet = spare[spare_count - 1];
      transport::Gather gather;
      const std::size_t bytes =
          link.session->poll_transmit(core.now, std::span(packet.data, packet.capacity_bytes),
                                      core.port.gathers() ? &gather : nullptr);
      if (bytes == 0) break;
      packet.bytes = static_cast<std::uint32_t>(bytes);
      packet.gathered = gather.bytes;
      packet.gather_at_bytes = gather.at_bytes;
      packet.destination = link.destination;
      ++unsent_count;
      --spare_count;
    } while (link.session->wants_more());
  }
  if (unsent_count != 0 && ++next_link >= count) next_link = 0;
}

// ---- the other workers of this engine ----------------------------------------------------------

/// Sessions with them stand from the start to the end of the engine. Their packets come through the
/// crossing only: no packet of a network can name them.
void Worker::State::meet_siblings() {
  const std::uint32_t count = core.config.worker_count;
  core.nodes[core.config.self].remote_worker_count = count;
  siblings.resize(count, kNone);
  if (count == 1) return;
  RW_CHECK(core.config.crossing != nullptr);
  const auto id = [](std::uint32_t from, std::uint32_t to) {
    return mix64(std::uint64_t{from} << 32 | to) | 1;
  };
  for (std::uint32_t other = 0; other < count; ++other) {
    if (other == core.config.index) continue;
    transport::SessionConfig config;
    config.local_connection_id = id(other, core.config.index);
    config.remote_connection_id = id(core.config.index, other);
    config.max_packet_bytes = kCrossingPacketBytes;
    config.peer_receive_queue_bytes = std::uint64_t{kCrossingPackets} * kCrossingPacketBytes;
    config.message_slots = kCrossingSlots;
    config.seed = core.config.seed;
    siblings[other] = link_of(core.config.self, other);
    Link& link = core.links[siblings[other]];
    link.connection_id = config.local_connection_id;
    link.session = std::make_unique<transport::Session>(config, core.now);
  }
}

void Worker::State::receive_from_siblings() {
  for (std::uint32_t other = 0; other < siblings.size(); ++other) {
    if (siblings[other] == kNone) continue;
    PacketBox& box = core.config.crossing->box(other, core.config.index);
    for (std::uint32_t count = 0; count < kCrossingPackets; ++count) {
      const std::span<const std::byte> packet = box.front();
      if (packet.empty()) break;
      core.worked = true;
      on_packet(siblings[other], packet, 0);
      // Both ends are this program: what breaks such a session is a bug of ours.
      RW_CHECK(core.links[siblings[other]].session != nullptr);
      box.pop();
    }
  }
}

void Worker::State::transmit_to_siblings() {
  crossing_full = false;
  for (std::uint32_t other = 0; other < siblings.size(); ++other) {
    if (siblings[other] == kNone) continue;
    PacketBox& box = core.config.crossing->box(core.config.index, other);
    transport::Session& session = *core.links[siblings[other]].session;
    if (!session.due(core.now)) continue;
    bool sent = false;
    while (true) {
      const std::span<std::byte> room = box.claim();
      if (room.empty()) {
        crossing_full = true;
        break;
      }
      const std::size_t bytes = session.poll_transmit(core.now, room);
      if (bytes == 0) break;
      box.publish(static_cast<std::uint32_t>(bytes));
      sent = true;
    }
    if (!sent) continue;
    core.worked = true;
    if (core.config.crossing->sleeper(other).must_wake()) wakes |= 1U << other;
  }
}

}  // namespace ringwire::worker
