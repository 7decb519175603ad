#include "engine/worker/worker_state.h"

#include <utility>
#include <variant>

#include "base/mutant.h"

namespace ringwire::worker {

void Worker::State::obey() {
  core.outbox.flush();
  if (commands.empty()) return;
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
        .add_class_file(command.size_class, command.file, command.data, command.bytes, core.now,
                        std::move(command.free));
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
    link.runs.resize(kMaxServices);
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
  outbound.enlist_all();
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
  outbound.enlist_all();
  if (command.state == PeerState::kDown && peer.state != PeerState::kDown)
    peer.down_since_ns = core.now;
  peer.state = command.state;
  if (command.state == PeerState::kDown) outbound.on_down(command.node);
  if (command.state == PeerState::kHung || command.state == PeerState::kDown)
    outbound.evacuate(command.node);
  outbound.reconsider();
}

void Worker::State::operator()(SetView& command) {
  outbound.enlist_all();
  core.view = std::move(command.view);
  short_way.view_changed();
  core.outbox.tell(ViewSeen{core.view ? core.view->epoch : 0});
  outbound.reconsider();
}

void Worker::State::operator()(Drain&) {
  core.draining = true;
  core.drained_told = false;
  groups.turn_all_away(Reason::kShutdown);
  outbound.end_lost_answers();
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
    snapshot.channels.push_back({index, channel.open_count(),
                                 channel.held.count() + channel.shorts_held + channel.held_of_runs,
                                 channel.submitted, channel.delivered, !channel.active});
  }
  groups.fill(snapshot.groups);
  core.outbox.tell(SnapshotTaken{std::move(command.snapshot)});
}

}  // namespace ringwire::worker
