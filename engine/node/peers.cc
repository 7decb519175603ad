#include "engine/node/peers.h"

#include <spdlog/spdlog.h>
#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/node/clock.h"
#include "engine/node/untouched_pages.h"
#include "engine/transport/limits.h"
#include "engine/transport/session.h"
#include "ring/view.h"

namespace ringwire::node {
namespace {

// A Hello that was decoded makes a session and a ring that stand.
static_assert(control::kLeastPacketBytes == transport::kMinPacketBytes);
static_assert(control::kLeastMessageSlots == transport::kMinMessageSlots);
static_assert(control::kMostMessageSlots == transport::kMaxMessageSlots);
static_assert(control::kLeastWeight == ring::kMinWeight);
static_assert(control::kMostWeight == ring::kMaxWeight);

using worker::PeerState;

/// Ticks while a peer is silent or owes an answer: the detector counts silence in such steps.
constexpr DurationNs kFastTickNs = 10 * kMillisecondNs;
constexpr DurationNs kSlowTickNs = 100 * kMillisecondNs;

std::uint64_t random_word() {
  std::uint64_t word = 0;
  while (word == 0)
    RW_CHECK(::getrandom(&word, sizeof word, 0) == static_cast<ssize_t>(sizeof word));
  return word;
}

ipc::NodeState page_state(const Peer& peer) {
  switch (peer.told) {
    case PeerState::kUnknown:
      return ipc::NodeState::kUnknown;
    case PeerState::kHung:
      return ipc::NodeState::kHung;
    case PeerState::kDown:
      return ipc::NodeState::kDown;
    case PeerState::kLeaving:
      return ipc::NodeState::kLeaving;
    case PeerState::kUp:
      break;
  }
  if (peer.hello.role == control::Role::kSlave) return ipc::NodeState::kUp;
  if (!peer.condition) return ipc::NodeState::kUp;
  switch (*peer.condition) {
    case control::NodeCondition::kServing:
      return ipc::NodeState::kServing;
    case control::NodeCondition::kSuspended:
      return ipc::NodeState::kSuspended;
    case control::NodeCondition::kReturning:
      return ipc::NodeState::kReturning;
    case control::NodeCondition::kJoining:
      return ipc::NodeState::kJoining;
    case control::NodeCondition::kLeaving:
      return ipc::NodeState::kLeaving;
    case control::NodeCondition::kOut:
      return ipc::NodeState::kOut;
  }
  return ipc::NodeState::kUp;
}

}  // namespace

Peers::Peers(const PeersOptions& options, Workers& workers, MemoryBudget& budget, StatusPage& page,
             RingView& view)
    : options_(options), workers_(workers), budget_(budget), page_(page), view_(view) {}

bool Peers::has_room(const control::Hello& hello) const {
  const Peer* known = find(hello.node_name);
  const std::uint64_t have = known == nullptr ? 0 : known->session_bytes;
  const std::uint64_t want = session_bytes(hello);
  const std::uint64_t used = budget_.used_bytes();
  const bool fits = used <= budget_.budget_bytes() && want <= budget_.budget_bytes() - used + have;
  return fits &&
         (known != nullptr || page_.find(hello.node_name) || page_.count() < ipc::kMaxNodes);
}

control::Sessions Peers::make_ids(const control::Hello& hello) const {
  control::Sessions ids;
  ids.own_workers = static_cast<std::uint8_t>(workers_.count());
  ids.peer_workers = static_cast<std::uint8_t>(hello.worker_count());
  ids.max_packet_bytes = options_.max_packet_bytes;
  if (const auto at = narrow_.find(hello.node_name);
      at != narrow_.end() && at->second.incarnation == hello.incarnation)
    ids.max_packet_bytes = at->second.packet_bytes;
  ids.connection_ids.resize(std::size_t{ids.own_workers} * ids.peer_workers);
  for (std::uint64_t& id : ids.connection_ids) id = random_word();
  return ids;
}

void Peers::on_established(TimeNs now, const control::Hello& hello,
                           const control::Established& established, const Connection& connection) {
  const auto role = hello.role == control::Role::kServer ? PageRole::kServer : PageRole::kSlave;
  const auto index = page_.add(hello.node_name, role);
  if (!index) return;  // has_room() said so before; another took the last place meanwhile
  auto [at, fresh] =
      peers_.try_emplace(hello.node_name, Peer{.name = hello.node_name,
                                               .index = *index,
                                               .hello = hello,
                                               .condition = {},
                                               .control = {},
                                               .detector = ring::Detector(options_.tunables, now)});
  Peer& peer = at->second;
  close_sessions(peer);
  peer.hello = hello;
  peer.connected = true;
  peer.leaving = false;
  peer.condition.reset();
  peer.heard_ns = now;
  if (hello.control_endpoint.port != 0)
    peer.control = hello.control_endpoint;
  else if (connection.dialled.port != 0)
    peer.control = connection.dialled;
  page_.set_incarnation(*index, hello.incarnation.low);

  peer.packet_bytes =
      std::min({options_.max_packet_bytes, hello.max_packet_bytes, established.own.max_packet_bytes,
                established.peer.max_packet_bytes});
  peer.session_bytes = session_bytes(hello);
  budget_.force_charge(MemoryUse::kSessions, peer.session_bytes);
  for (std::uint32_t local = 0; local < workers_.count(); ++local) {
    for (std::uint32_t remote = 0; remote < hello.worker_count(); ++remote) {
      transport::SessionConfig config;
      config.local_connection_id = established.own.at(local, remote);
      config.remote_connection_id = established.peer.at(remote, local);
      config.max_packet_bytes = peer.packet_bytes;
      config.peer_receive_queue_bytes = hello.receive_queue_bytes;
      config.message_slots = std::min(options_.message_slots, hello.message_slots);
      config.idle_rtt_ns = connection.rtt_ns;
      config.seed = random_word();
      config.memory = untouched_pages();
      worker::AddSession add;
      add.node = *index;
      add.remote_worker = remote;
      add.remote_worker_count = hello.worker_count();
      add.remote = hello.data_endpoints[remote];
      add.local_connection_id = config.local_connection_id;
      add.session = std::make_unique<transport::Session>(config, now);
      workers_.send(local, std::move(add));
    }
  }
  if (hello.role == control::Role::kServer)
    view_.on_member(hello.node_name, hello.weight, hello.zone);
  apply(peer, peer.detector.on_control_established(now));
  tell(peer);
}

void Peers::on_lost(TimeNs now, const std::string& name, ring::CloseKind kind) {
  Peer* peer = find_mutable(name);
  if (peer == nullptr) return;
  peer->connected = false;
  apply(*peer, peer->detector.on_control_closed(now, kind));
  tell(*peer);
}

void Peers::on_heard(TimeNs now, const std::string& name) {
  Peer* peer = find_mutable(name);
  if (peer == nullptr) return;
  peer->heard_ns = now;
  apply(*peer, peer->detector.on_heard(now));
}

std::uint32_t Peers::on_path_too_small(const std::string& name) {
  const Peer& peer = peers_.at(name);
  Narrow& narrow = narrow_[name];
  narrow = {peer.hello.incarnation, transport::smaller_packet_bytes(peer.packet_bytes)};
  return narrow.packet_bytes;
}

void Peers::on_rtt(const std::string& name, DurationNs rtt_ns) {
  if (Peer* peer = find_mutable(name)) peer->rtt_ns = rtt_ns;
}

void Peers::on_state(const std::string& name, const control::NodeState& state) {
  Peer* peer = find_mutable(name);
  if (peer == nullptr) return;
  peer->condition = state.condition;
  tell(*peer);
}

void Peers::on_goodbye(const std::string& name) {
  Peer* peer = find_mutable(name);
  if (peer == nullptr) return;
  peer->leaving = true;
  tell(*peer);
}

void Peers::on_evidence(TimeNs now, const worker::PeerEvidence& evidence) {
  for (auto& [name, peer] : peers_) {
    if (peer.index != evidence.node) continue;
    // A dead process's late packets, and sessions about to be closed, prove nothing.
    if (peer.told == PeerState::kDown) return;
    if (evidence.last_heard_ns > peer.heard_ns) {
      peer.heard_ns = evidence.last_heard_ns;
      apply(peer, peer.detector.on_heard(now));
    }
    if (evidence.unanswered_since_ns != kNeverNs) peer.detector.on_unanswered(now);
    apply(peer, peer.detector.on_tick(now));
    return;
  }
}

void Peers::give_up_unseen(const std::string& self) {
  for (const std::string& name : view_.member_names()) {
    if (name == self || peers_.contains(name)) continue;
    const auto index = page_.find(name);
    if (!index || page_.state(*index) != ipc::NodeState::kUnknown) continue;
    page_.set_state(*index, ipc::NodeState::kDown);
    workers_.send_all(worker::SetPeerState{*index, PeerState::kDown});
    spdlog::warn("member {} was not heard of since the start: it counts as down", name);
  }
}

DurationNs Peers::tick(TimeNs now) {
  DurationNs next_ns = kSlowTickNs;
  for (auto& [name, peer] : peers_) {
    apply(peer, peer.detector.on_tick(now));
    if (peer.detector.liveness() != ring::Liveness::kUp) continue;
    // One and a half heartbeats missed: now the detector's steps must be fine.
    if (now - peer.heard_ns > options_.tunables.heartbeat_ns * 3 / 2) next_ns = kFastTickNs;
  }
  for (const std::string& line : log_.calm_lines(now)) spdlog::info("{}", line);
  return next_ns;
}

const Peer* Peers::find(const std::string& name) const {
  const auto found = peers_.find(name);
  return found == peers_.end() ? nullptr : &found->second;
}

const Peer* Peers::find(worker::NodeIndex index) const {
  for (const auto& [name, peer] : peers_)
    if (peer.index == index) return &peer;
  return nullptr;
}

void Peers::apply(Peer& peer, ring::LivenessChange change) {
  if (change == ring::LivenessChange::kDied) close_sessions(peer);
  if (change != ring::LivenessChange::kNone) tell(peer);
}

void Peers::tell(Peer& peer) {
  PeerState state = PeerState::kDown;
  if (peer.detector.liveness() == ring::Liveness::kSuspect) state = PeerState::kHung;
  if (peer.detector.liveness() == ring::Liveness::kUp)
    state = peer.leaving ? PeerState::kLeaving : PeerState::kUp;
  const bool changed = state != peer.told;
  peer.told = state;
  const ipc::NodeState shown = page_state(peer);
  const bool news = page_.state(peer.index) != shown;
  page_.set_state(peer.index, shown);
  if (changed) workers_.send_all(worker::SetPeerState{peer.index, state});
  if (!news) return;
  const std::string line = log_.line_for(clock_now_ns(), peer.name, shown);
  if (!line.empty()) spdlog::info("{}", line);
}

void Peers::close_sessions(Peer& peer) {
  if (peer.session_bytes == 0) return;
  budget_.give_back(MemoryUse::kSessions, std::exchange(peer.session_bytes, 0));
  workers_.send_all(worker::CloseSessions{peer.index});
}

std::uint64_t Peers::session_bytes(const control::Hello& hello) const {
  const std::uint32_t slots = std::min(options_.message_slots, hello.message_slots);
  return std::uint64_t{workers_.count()} * hello.worker_count() *
         transport::Session::memory_bytes(slots);
}

Peer* Peers::find_mutable(const std::string& name) {
  const auto found = peers_.find(name);
  return found == peers_.end() ? nullptr : &found->second;
}

}  // namespace ringwire::node
