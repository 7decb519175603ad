#include "tests/sim/ring_manager.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/transport/limits.h"
#include "engine/transport/session.h"
#include "ring/placement.h"

namespace ringwire::sim {
namespace {

using worker::PeerState;

// As engine/node has them.
constexpr DurationNs kRetryNs = 200 * kMillisecondNs;
constexpr DurationNs kFirstContactNs = 3 * kSecondNs;
constexpr DurationNs kFastTickNs = 10 * kMillisecondNs;
constexpr DurationNs kSlowTickNs = 100 * kMillisecondNs;

ring::DetectorTunables tunables(const ManagerConfig& config) {
  ring::DetectorTunables tunables;
  tunables.heartbeat_ns = config.heartbeat_ns;
  return tunables;
}

}  // namespace

std::string node_name(std::uint32_t node) { return "node" + std::to_string(node); }

Endpoint endpoint_of(std::uint32_t node, std::uint32_t worker) {
  Endpoint endpoint;
  endpoint.address = {0, 0, 0,    0,    0,  0, 0, 0,
                      0, 0, 0xff, 0xff, 10, 0, 0, static_cast<std::uint8_t>(node + 1)};
  endpoint.port = static_cast<std::uint16_t>(3200 + worker);
  return endpoint;
}

Manager::Manager(const ManagerConfig& config, Host& host, TimeNs now)
    : config_(config),
      host_(host),
      random_(config.seed),
      incarnation_{random_.next(), random_.next() | 1},
      arbiter_(incarnation_),
      started_ns_(now),
      tick_at_ns_(now),
      next_ns_(now) {
  for (std::uint32_t node = 0; node < config.nodes; ++node) {
    peers_.emplace_back(now, tunables(config_));
    if (node != config.self && node < config.servers)
      peers_.back().dial_at_ns =
          now + static_cast<DurationNs>(random_.below(2'000)) * kMicrosecondNs;
  }
}

control::PeerControlConfig Manager::control_config(control::Direction direction) const {
  control::PeerControlConfig config;
  config.direction = direction;
  config.heartbeat_ns = config_.heartbeat_ns;
  control::Hello& hello = config.own;
  hello.cluster_name = "sim";
  hello.node_name = node_name(config_.self);
  hello.incarnation = incarnation_;
  hello.role = config_.server ? control::Role::kServer : control::Role::kSlave;
  hello.secondaries = config_.secondaries;
  hello.placement_version = ring::kPlacementVersion;
  for (std::uint32_t worker = 0; worker < config_.workers; ++worker)
    hello.data_endpoints.push_back(endpoint_of(config_.self, worker));
  hello.max_packet_bytes = config_.max_packet_bytes;
  hello.receive_queue_bytes = config_.receive_queue_bytes;
  hello.message_slots = config_.message_slots;
  hello.software_version = "sim";
  hello.weight = ring::kUnitWeight;
  hello.control_endpoint = endpoint_of(config_.self, 0);
  return config;
}

Manager::Link& Manager::add_link(ControlNet::End end, std::uint32_t node, bool dialled) {
  const std::uint64_t number = next_link_++;
  Link& link = links_[number];
  link.number = number;
  link.end = end;
  link.node = node;
  link.dialled = dialled;
  link.control = std::make_unique<control::PeerControl>(
      control_config(dialled ? control::Direction::kDialled : control::Direction::kAccepted));
  return link;
}

Manager::Link* Manager::find(ControlNet::End end) {
  for (auto& [number, link] : links_)
    if (link.end == end) return &link;
  return nullptr;
}

void Manager::on_arrival(TimeNs now, ControlNet::Arrival& arrival) {
  if (arrival.kind == ControlNet::Kind::kAccepted) {
    Link& link = add_link(arrival.end, arrival.from, false);
    link.control->on_connected(now);
    pump(now, link);
    return plan();
  }
  Link* link = find(arrival.end);
  if (link == nullptr) return;
  if (arrival.kind == ControlNet::Kind::kConnected) {
    link->control->on_connected(now);
  } else if (arrival.kind == ControlNet::Kind::kBytes) {
    link->control->on_bytes(now, arrival.bytes);
    Peer& peer = peers_[link->node];
    if (peer.established == link->number) {
      peer.heard_ns = now;
      apply(link->node, peer.detector.on_heard(now));
    }
  } else if (link->control->state() == control::PeerControl::State::kConnecting) {
    // Nobody listens where a silent node was: its process is gone.
    Peer& peer = peers_[link->node];
    const std::uint32_t node = link->node;
    links_.erase(link->number);
    if (arrival.close == control::CloseKind::kFinOrReset && peer.seen && peer.established == 0) {
      apply(node, peer.detector.on_control_closed(now, ring::CloseKind::kFinOrReset));
      tell(node);
    }
    plan_dial(now, node, false);
    return plan();
  } else {
    link->control->on_closed(now, arrival.close);
  }
  pump(now, *link);
  plan();
}

void Manager::pump(TimeNs now, Link& link) {
  const std::uint64_t number = link.number;
  for (auto events = link.control->take_events(); !events.empty();
       events = link.control->take_events())
    for (control::ControlEvent& event : events) {
      on_event(now, link, event);
      if (!links_.contains(number)) return;
    }
  const auto output = link.control->output();
  if (!output.empty()) {
    host_.send(link.end, output);
    link.control->consume_output(output.size());
  }
  if (!link.control->wants_close()) return;
  host_.close(link.end);
  const std::uint32_t node = link.node;
  const bool dialled = link.dialled;
  links_.erase(number);
  if (dialled) plan_dial(now, node, false);
}

void Manager::on_event(TimeNs now, Link& link, control::ControlEvent& event) {
  if (const auto* arrived = std::get_if<control::HelloArrived>(&event)) {
    carry_out(now, arbiter_.on_hello(now, link.number, arrived->hello.node_name,
                                     arrived->hello.incarnation));
  } else if (const auto* established = std::get_if<control::Established>(&event)) {
    on_established(now, link, *established);
  } else if (std::holds_alternative<control::Refused>(event)) {
    on_ended(now, link, ring::CloseKind::kFinOrReset);
  } else if (std::holds_alternative<control::GoodbyeArrived>(event)) {
    peers_[link.node].leaving = true;
    tell(link.node);
  } else if (std::holds_alternative<control::ChallengeAnswered>(event)) {
    carry_out(now, arbiter_.on_challenge_answered(link.number));
  } else if (const auto* lost = std::get_if<control::Lost>(&event)) {
    const bool silent = lost->reason == control::LostReason::kConnectionTimeout ||
                        lost->reason == control::LostReason::kSilence;
    on_ended(now, link, silent ? ring::CloseKind::kTimeout : ring::CloseKind::kFinOrReset);
  }
}

void Manager::on_established(TimeNs now, Link& link, const control::Established& established) {
  const control::Hello& hello = *link.control->peer();
  Peer& peer = peers_[link.node];
  host_.on_established(link.node, established.own.at(0, 0), established.peer.at(0, 0));
  peer.established = link.number;
  peer.dialling = peer.dialling && link.dialled;
  peer.retry_ns = 0;
  close_sessions(link.node);
  peer.seen = true;
  peer.leaving = false;
  peer.heard_ns = now;
  peer.packet_bytes =
      std::min({config_.max_packet_bytes, hello.max_packet_bytes, established.own.max_packet_bytes,
                established.peer.max_packet_bytes});
  for (std::uint32_t local = 0; local < config_.workers; ++local)
    for (std::uint32_t remote = 0; remote < hello.worker_count(); ++remote) {
      transport::SessionConfig config;
      config.local_connection_id = established.own.at(local, remote);
      config.remote_connection_id = established.peer.at(remote, local);
      config.max_packet_bytes = peer.packet_bytes;
      config.peer_receive_queue_bytes = hello.receive_queue_bytes;
      config.message_slots = std::min(config_.message_slots, hello.message_slots);
      config.seed = random_.next();
      worker::AddSession add;
      add.node = link.node;
      add.remote_worker = remote;
      add.remote_worker_count = hello.worker_count();
      add.remote = hello.data_endpoints[remote];
      add.local_connection_id = config.local_connection_id;
      add.session = std::make_unique<transport::Session>(config, now);
      host_.command(local, std::move(add));
    }
  apply(link.node, peer.detector.on_control_established(now));
  tell(link.node);
  carry_out(now, arbiter_.on_established(link.number));
}

void Manager::on_ended(TimeNs now, Link& link, ring::CloseKind kind) {
  Peer& peer = peers_[link.node];
  if (link.control->peer() && peer.established == link.number) {
    peer.established = 0;
    apply(link.node, peer.detector.on_control_closed(now, kind));
    tell(link.node);
    if (!link.dialled && !peer.dialling) plan_dial(now, link.node, true);
  }
  carry_out(now, arbiter_.on_ended(link.number));
}

void Manager::carry_out(TimeNs now, const std::vector<control::Decision>& decisions) {
  for (const control::Decision& decision : decisions) {
    const auto found = links_.find(decision.connection);
    if (found == links_.end()) continue;
    Link& link = found->second;
    switch (decision.kind) {
      case control::Decision::Kind::kAccept: {
        if (link.control->state() != control::PeerControl::State::kJudging) break;
        control::Sessions ids;
        ids.own_workers = static_cast<std::uint8_t>(config_.workers);
        ids.peer_workers = static_cast<std::uint8_t>(link.control->peer()->worker_count());
        ids.max_packet_bytes = std::min(config_.max_packet_bytes, peers_[link.node].path_bytes);
        ids.connection_ids.resize(std::size_t{ids.own_workers} * ids.peer_workers);
        for (std::uint64_t& id : ids.connection_ids) id = random_.next() | 1;
        link.control->accept(now, std::move(ids));
        break;
      }
      case control::Decision::Kind::kRefuse:
        link.control->refuse(now, decision.reason, "refused");
        break;
      case control::Decision::Kind::kChallenge:
        link.control->challenge(now, random_.next());
        break;
      case control::Decision::Kind::kClose:
        link.control->close();
        break;
    }
    pump(now, link);
  }
}

void Manager::plan_dial(TimeNs now, std::uint32_t node, bool soon) {
  Peer& peer = peers_[node];
  peer.dialling = false;
  if (node >= config_.servers) return;
  if (soon || peer.retry_ns == 0) peer.retry_ns = kRetryNs / 4;
  peer.dial_at_ns =
      now + static_cast<DurationNs>(static_cast<double>(peer.retry_ns) * (0.5 + random_.unit()));
  peer.retry_ns = std::min(peer.retry_ns * 2, kRetryNs * 10);
}

void Manager::apply(std::uint32_t node, ring::LivenessChange change) {
  if (change == ring::LivenessChange::kDied) close_sessions(node);
  if (change != ring::LivenessChange::kNone) tell(node);
}

void Manager::tell(std::uint32_t node) {
  Peer& peer = peers_[node];
  PeerState state = PeerState::kDown;
  if (peer.detector.liveness() == ring::Liveness::kSuspect) state = PeerState::kHung;
  if (peer.detector.liveness() == ring::Liveness::kUp)
    state = peer.leaving ? PeerState::kLeaving : PeerState::kUp;
  if (state == peer.told) return;
  peer.told = state;
  host_.on_state(node, state);
  for (std::uint32_t worker = 0; worker < config_.workers; ++worker)
    host_.command(worker, worker::SetPeerState{node, state});
}

void Manager::close_sessions(std::uint32_t node) {
  if (!peers_[node].seen) return;
  for (std::uint32_t worker = 0; worker < config_.workers; ++worker)
    host_.command(worker, worker::CloseSessions{node});
}

void Manager::on_evidence(TimeNs now, const worker::PeerEvidence& evidence) {
  Peer& peer = peers_[evidence.node];
  if (!peer.seen || peer.told == PeerState::kDown) return;
  if (evidence.last_heard_ns > peer.heard_ns) {
    peer.heard_ns = evidence.last_heard_ns;
    apply(evidence.node, peer.detector.on_heard(now));
  }
  if (evidence.unanswered_since_ns != kNeverNs) peer.detector.on_unanswered(now);
  apply(evidence.node, peer.detector.on_tick(now));
}

void Manager::on_path_too_small(TimeNs now, std::uint32_t node) {
  Peer& peer = peers_[node];
  peer.path_bytes = transport::smaller_packet_bytes(peer.packet_bytes);
  on_session_broken(now, node);
}

void Manager::on_session_broken(TimeNs now, std::uint32_t node) {
  const auto link = links_.find(peers_[node].established);
  if (link == links_.end()) return;
  link->second.control->close();
  pump(now, link->second);
  plan();
}

std::size_t Manager::connections_with(std::uint32_t node) const {
  return static_cast<std::size_t>(std::count_if(links_.begin(), links_.end(), [&](auto& entry) {
    return entry.second.node == node &&
           entry.second.control->state() == control::PeerControl::State::kEstablished;
  }));
}

void Manager::drain(TimeNs now) {
  draining_ = true;
  arbiter_.drain();
  for (const Peer& peer : peers_) {
    const auto link = links_.find(peer.established);
    if (link == links_.end()) continue;
    link->second.control->send_goodbye(now, control::GoodbyeReason::kDraining);
    pump(now, link->second);
  }
}

void Manager::run(TimeNs now) {
  std::vector<std::uint64_t> due;
  for (auto& [number, link] : links_)
    if (link.control->next_deadline_ns() <= now) due.push_back(number);
  for (const std::uint64_t number : due) {
    const auto found = links_.find(number);
    if (found == links_.end()) continue;
    found->second.control->on_timer(now);
    pump(now, found->second);
  }
  if (arbiter_.next_deadline_ns() <= now) carry_out(now, arbiter_.on_timer(now));
  if (tick_at_ns_ <= now) {
    tick_at_ns_ = now + kSlowTickNs;
    for (std::uint32_t node = 0; node < peers_.size(); ++node) {
      Peer& peer = peers_[node];
      apply(node, peer.detector.on_tick(now));
      if (peer.detector.liveness() == ring::Liveness::kUp &&
          now - peer.heard_ns > config_.heartbeat_ns * 3 / 2)
        tick_at_ns_ = now + kFastTickNs;
    }
    if (!gave_up_ && now - started_ns_ >= kFirstContactNs) {
      gave_up_ = true;
      for (std::uint32_t node = 0; node < peers_.size(); ++node)
        if (node != config_.self && peers_[node].told == PeerState::kUnknown &&
            !peers_[node].seen) {
          host_.on_state(node, PeerState::kDown);
          for (std::uint32_t worker = 0; worker < config_.workers; ++worker)
            host_.command(worker, worker::SetPeerState{node, PeerState::kDown});
        }
    }
  }
  for (std::uint32_t node = 0; node < peers_.size(); ++node) {
    Peer& peer = peers_[node];
    if (peer.dial_at_ns > now) continue;
    peer.dial_at_ns = kNeverNs;
    if (peer.dialling || draining_ || peer.established != 0) continue;
    peer.dialling = true;
    add_link(host_.dial(node), node, true);
  }
  plan();
}

void Manager::plan() {
  next_ns_ = std::min(tick_at_ns_, arbiter_.next_deadline_ns());
  for (const auto& [number, link] : links_)
    next_ns_ = std::min(next_ns_, link.control->next_deadline_ns());
  for (const Peer& peer : peers_) next_ns_ = std::min(next_ns_, peer.dial_at_ns);
}

}  // namespace ringwire::sim
