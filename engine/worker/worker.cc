#include "engine/worker/worker.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/core.h"
#include "engine/worker/crossing.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/outbound.h"

namespace ringwire::worker {

struct Worker::State {
  State(const WorkerConfig& config, port::Port& port, CommandBox& command_box, NoticeBox& notices,
        TimeNs now)
      : core(config, port, notices, now),
        commands(command_box),
        channels(core),
        outbound(core),
        inbound(core),
        groups(core) {
    core.channels_part = &channels;
    core.outbound = &outbound;
    core.inbound = &inbound;
    core.groups = &groups;
    meet_siblings();
  }

  void meet_siblings();
  void receive();
  void receive_from_siblings();
  void on_packet(std::uint32_t link_index, std::span<const std::byte> packet, DurationNs waited_ns);
  void run_timers();
  void obey();
  void transmit();
  void transmit_to_siblings();
  void fill_burst();
  void gather_evidence();
  void check_drained();
  void keep_house();

  void operator()(std::monostate&) {}
  void operator()(AddChannel& command) { channels.add(command); }
  void operator()(RemoveChannel& command) { channels.remove(command); }
  void operator()(AddService& command);
  void operator()(AddConsumer& command) { groups.add_consumer(command); }
  void operator()(RemoveConsumer& command) { groups.remove_consumer(command); }
  void operator()(AddFile& command) { channels.add_file(command); }
  void operator()(DropFile& command) { channels.drop_file(command); }
  void operator()(AddExtentFile& command);
  void operator()(RefuseLarge& command) {
    inbound.on_large_refused(command.request, command.reason);
  }
  void operator()(AddSession& command);
  void operator()(CloseSessions& command);
  void operator()(SetPeerState& command);
  void operator()(SetView& command);
  void operator()(Drain&);
  void operator()(TakeSnapshot& command);

  std::uint32_t link_of(NodeIndex node, std::uint32_t remote_worker);
  void end_session(std::uint32_t link_index);

  Core core;
  CommandBox& commands;
  Channels channels;
  Outbound outbound;
  Inbound inbound;
  Groups groups;
  transport::EventBatch events;
  std::array<port::RxPacket, port::kBurstPackets> received;
  std::array<port::TxPacket, kTransmitPackets> spare{};  ///< empty buffers, from the front
  std::size_t spare_count = 0;
  std::array<port::TxPacket, kTransmitPackets> filled{};  ///< of which [unsent_from, + count) wait
  std::size_t unsent_from = 0;
  std::size_t unsent_count = 0;
  std::uint32_t next_link = 0;  ///< transmit begins with another link each turn
  TimeNs house_at_ns = 0;
  std::vector<std::uint32_t> siblings;  ///< links to the other workers here, by worker; own: kNone
  std::uint32_t wakes = 0;              ///< bit w: worker w must be woken
  bool crossing_full = false;           ///< what waits for a sibling did not fit
};

std::uint64_t worker_memory_bytes(const WorkerConfig& config) {
  constexpr std::uint64_t kIndexCell = 32;  // a HashIndex holds two 16-byte cells per entry
  return config.out_messages * (sizeof(OutMessage) + 3 * kIndexCell + 2 * sizeof(Flight)) +
         config.in_messages * (sizeof(InMessage) + 4 * kIndexCell) +
         DuplicateWindows::memory_bytes(config.duplicate_windows) +
         (config.worker_count - 1) * transport::Session::memory_bytes(kCrossingSlots) +
         Crossing::memory_bytes(config.worker_count) +
         kMaxChannels * (sizeof(Channel) + kIndexCell) +
         most_notices_waiting(config) * sizeof(Notice) +
         ipc::kMaxNodes * (sizeof(Node) + kMaxWorkers * kIndexCell);
}

Worker::Worker(const WorkerConfig& config, port::Port& port, CommandBox& commands,
               NoticeBox& notices, TimeNs now)
    : state_(std::make_unique<State>(config, port, commands, notices, now)) {}

Worker::~Worker() = default;

bool Worker::turn(TimeNs now) {
  State& state = *state_;
  Core& core = state.core;
  core.now = now;
  core.worked = false;
  core.handed_over = false;
  state.receive_from_siblings();
  state.receive();
  state.run_timers();
  state.obey();
  state.channels.poll();
  state.inbound.copy_some();
  state.groups.dispatch();
  // Before what it turns away is sent elsewhere: no later turn may come for that.
  state.keep_house();
  state.outbound.on_time();
  state.outbound.pump();
  state.channels.flush();
  state.transmit_to_siblings();
  state.transmit();
  ++core.counters.turns;
  if (core.worked) ++core.counters.busy_turns;
  return core.worked;
}

// ---- the network --------------------------------------------------------------------------------

void Worker::State::receive() {
  for (std::uint32_t burst = 0; burst < kReceiveBurstsPerTurn; ++burst) {
    const std::size_t count = core.port.rx_burst(received);
    if (count == 0) return;
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
    if (link.session == nullptr || link.session->next_deadline_ns() > core.now) continue;
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
  for (std::uint32_t step = 0; step < count; ++step) {
    Link& link = core.links[(next_link + step) % count];
    if (link.session == nullptr || !link.destination_open) continue;
    while (unsent_count < filled.size()) {
      if (spare_count == 0) spare_count = core.port.tx_alloc(spare);
      if (spare_count == 0) return;
      port::TxPacket& packet = spare[spare_count - 1];
      transport::Gather gather;
      const std::size_t bytes =
          link.session->poll_transmit(core.now, std::span(packet.data, packet.capacity_bytes),
                                      core.port.gathers() ? &gather : nullptr);
      if (bytes == 0) break;
      packet.bytes = static_cast<std::uint32_t>(bytes);
      packet.gathered = gather.bytes;
      packet.gather_at_bytes = gather.at_bytes;
      packet.destination = link.destination;
      filled[unsent_count++] = packet;
      --spare_count;
    }
  }
  if (unsent_count != 0) next_link = (next_link + 1) % count;
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

// ---- the ring manager ---------------------------------------------------------------------------

void Worker::State::obey() {
  core.outbox.flush();
  Command command;
  while (core.outbox.clear() && commands.try_pop(command)) {
    core.worked = true;
    std::visit(*this, command);
    command = std::monostate{};
  }
}

void Worker::State::operator()(AddService& command) {
  if (core.services.size() <= command.service) core.services.resize(command.service + 1U);
  core.services[command.service] = std::move(command.name);
}

void Worker::State::operator()(AddExtentFile& command) {
  if (command.size_class == ipc::kLargeClass) {
    inbound.on_large(command.request, command.domain, command.file, command.data, command.bytes);
  } else {
    core.pool(command.domain)
        .add_class_file(command.size_class, command.file, command.data, command.bytes, core.now);
  }
}

std::uint32_t Worker::State::link_of(NodeIndex node, std::uint32_t remote_worker) {
  Node& peer = core.nodes[node];
  if (peer.links.size() <= remote_worker) peer.links.resize(remote_worker + 1, kNone);
  if (peer.links[remote_worker] == kNone) {
    peer.links[remote_worker] = static_cast<std::uint32_t>(core.links.size());
    Link& link = core.links.emplace_back();
    link.node = node;
    link.remote_worker = remote_worker;
    link.queue.resize(kMaxServices);
  }
  return peer.links[remote_worker];
}

void Worker::State::operator()(AddSession& command) {
  Node& peer = core.nodes[command.node];
  for (std::uint32_t worker = 0; worker < command.remote_worker_count; ++worker)
    link_of(command.node, worker);
  if (peer.remote_worker_count != command.remote_worker_count) {
    // The peer came back with another number of workers: queued messages find their worker anew.
    const PeerState before = peer.state;
    peer.state = PeerState::kDown;
    outbound.evacuate(command.node, Outbound::Moves::kAll);
    peer.state = before;
    peer.remote_worker_count = command.remote_worker_count;
  }
  const std::uint32_t index = link_of(command.node, command.remote_worker);
  if (core.links[index].session) end_session(index);
  Link& link = core.links[index];
  ++link.session_epoch;
  link.session = std::move(command.session);
  link.connection_id = command.local_connection_id;
  link.remote = command.remote;
  link.destination_open = core.port.open_destination(command.remote, link.destination);
  link.evidence_sent = false;
  core.link_by_connection.put(link.connection_id, index);
  outbound.reconsider();
}

void Worker::State::end_session(std::uint32_t index) {
  Link& link = core.links[index];
  if (link.session == nullptr) return;
  core.link_by_connection.erase(link.connection_id);
  if (!RW_MUTANT(115)) inbound.on_session_gone(index);
  bool finished = false;
  while (!finished) {
    finished = link.session->close(events);
    inbound.on_events(index, events);
  }
  link.session.reset();
  ++link.session_epoch;
  if (link.destination_open) core.port.close_destination(link.destination);
  link.destination_open = false;
  outbound.on_session_end();
}

void Worker::State::operator()(CloseSessions& command) {
  for (const std::uint32_t index : std::vector<std::uint32_t>(core.nodes[command.node].links))
    if (index != kNone) end_session(index);
  outbound.reconsider();
}

void Worker::State::operator()(SetPeerState& command) {
  Node& peer = core.nodes[command.node];
  peer.state = command.state;
  if (command.state == PeerState::kHung || command.state == PeerState::kDown)
    outbound.evacuate(command.node);
  outbound.reconsider();
}

void Worker::State::operator()(SetView& command) {
  core.view = std::move(command.view);
  core.outbox.tell(ViewSeen{core.view ? core.view->epoch : 0});
  outbound.reconsider();
}

void Worker::State::operator()(Drain&) {
  core.draining = true;
  core.drained_told = false;
  groups.turn_all_away(Reason::kShutdown);
}

void Worker::State::operator()(TakeSnapshot& command) {
  WorkerSnapshot& snapshot = *command.snapshot;
  core.counters.unprocessed_now = groups.unprocessed();
  core.counters.receiving_now = 0;
  for (std::uint32_t in = 0; in < core.ins.capacity(); ++in)
    if (core.ins[in].state == InState::kReceiving) ++core.counters.receiving_now;
  snapshot.counters = core.counters;
  for (const auto& pool : core.pools) {
    if (!pool) continue;
    snapshot.extent_file_bytes += pool->file_bytes();
    snapshot.extent_free_large_bytes += pool->free_large_bytes();
    snapshot.extents_taken += pool->extents_taken();
  }
  for (const Link& link : core.links) {
    if (link.session == nullptr || link.node == core.config.self ||
        snapshot.sessions.size() == snapshot.sessions.capacity())
      continue;
    const transport::Session& session = *link.session;
    snapshot.sessions.push_back({link.node, link.remote_worker, session.messages_open(),
                                 session.bytes_in_flight(), session.smoothed_rtt_ns(),
                                 session.last_heard_ns(), session.unanswered_since_ns(),
                                 session.counters()});
  }
  for (ChannelIndex index = 0; index < core.channels.size(); ++index) {
    const Channel& channel = core.channels[index];
    if (channel.ipc == nullptr || snapshot.channels.size() == snapshot.channels.capacity())
      continue;
    snapshot.channels.push_back({index, channel.outstanding.count(), channel.held.count(),
                                 channel.submitted, channel.delivered, !channel.active});
  }
  groups.fill(snapshot.groups);
  core.outbox.tell(SnapshotTaken{std::move(command.snapshot)});
}

// ---- time ---------------------------------------------------------------------------------------

void Worker::State::keep_house() {
  gather_evidence();
  if (core.now < house_at_ns) return;
  house_at_ns = core.now + kRetryNs;
  groups.on_time();
  inbound.on_time();
  for (const auto& pool : core.pools) {
    if (!pool) continue;
    const DurationNs idle = inbound.memory_short() ? 0 : kIdleLargeNs;
    while (core.outbox.has_room()) {
      std::uint32_t file = pool->evict_idle_large(core.now - idle);
      if (file == 0) file = pool->evict_idle_class_file(core.now - idle);
      if (file == 0) break;
      core.outbox.tell(ReturnFile{file});
    }
  }
  check_drained();
}

void Worker::State::gather_evidence() {
  for (Link& link : core.links) {
    if (link.session == nullptr || link.node == core.config.self) continue;
    const TimeNs since = link.session->unanswered_since_ns();
    const bool silent = since != kNeverNs && core.now - since >= kEvidenceNs;
    if (silent && core.now >= link.evidence_at_ns) {
      link.evidence_at_ns = core.now + kEvidenceNs;
      if (core.outbox.try_tell(PeerEvidence{link.node, link.session->last_heard_ns(), since}))
        link.evidence_sent = true;
    } else if (!silent && link.evidence_sent) {
      link.evidence_sent =
          !core.outbox.try_tell(PeerEvidence{link.node, link.session->last_heard_ns(), kNeverNs});
    }
  }
}

void Worker::State::check_drained() {
  if (!core.draining || core.drained_told) return;
  groups.turn_all_away(Reason::kShutdown);
  if ((!outbound.idle() && !RW_MUTANT(116)) || groups.unprocessed() != 0) return;
  for (const Link& link : core.links)  // results that peers wait for are on the wire no longer
    if (link.session && (link.session->bytes_in_flight() != 0)) return;
  core.drained_told = true;
  core.outbox.tell(Drained{});
}

bool Worker::handed_over() const { return state_->core.handed_over; }

TimeNs Worker::next_deadline_ns() const {
  State& state = *state_;
  Core& core = state.core;
  TimeNs next = std::min(state.outbound.next_deadline_ns(), state.groups.next_deadline_ns());
  for (const Link& link : core.links) {
    if (link.session == nullptr) continue;
    const bool sibling = link.node == core.config.self;
    if (!link.destination_open && !sibling) continue;
    next = std::min(next, link.session->next_deadline_ns());
    if (sibling) continue;
    const TimeNs since = link.session->unanswered_since_ns();
    if (since != kNeverNs)
      next = std::min(next, std::max(since + kEvidenceNs, link.evidence_at_ns));
    else if (link.evidence_sent)
      next = core.now;
  }
  if (state.channels.blocked() || state.groups.blocked() || state.crossing_full)
    next = std::min(next, core.now + Channels::kBlockedNapNs);
  for (const auto& pool : core.pools)
    if (pool && pool->may_shrink())
      next = std::min(next, state.inbound.memory_short() ? std::max(state.house_at_ns, core.now)
                                                         : core.now + kIdleLargeNs / 4);
  if (const TimeNs due = state.inbound.next_deadline_ns(); due != kNeverNs)
    next = std::min(next, std::max(due, state.house_at_ns));
  if (core.draining && !core.drained_told) next = std::min(next, state.house_at_ns);
  return next;
}

bool Worker::prepare_sleep() {
  State& state = *state_;
  if (!state.commands.empty() || !state.core.outbox.clear()) return false;
  if (state.inbound.copying() || state.unsent_count != 0) return false;
  const WorkerConfig& config = state.core.config;
  if (config.worker_count > 1) {
    config.crossing->sleeper(config.index).lie_down();
    for (std::uint32_t other = 0; other < config.worker_count; ++other)
      if (other != config.index && !config.crossing->box(other, config.index).empty()) return false;
  }
  return state.channels.park_all();
}

std::uint32_t Worker::take_wakes() { return std::exchange(state_->wakes, 0); }

void Worker::wake() {
  const WorkerConfig& config = state_->core.config;
  if (config.worker_count > 1) config.crossing->sleeper(config.index).get_up();
}

void Worker::wake_channel(ChannelIndex index) { state_->channels.touch(index); }

std::vector<Worker::BellChange>& Worker::bell_changes() { return state_->core.bell_changes; }

}  // namespace ringwire::worker
