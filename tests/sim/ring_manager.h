// The ring manager of a simulated node: the control plane's production objects (arbiter, peer
// control, detector) over simulated byte streams, doing with them what engine/node does. One
// thread; virtual time: `now` here is the node's own clock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/control/arbiter.h"
#include "engine/control/peer_control.h"
#include "engine/worker/commands.h"
#include "ring/detector.h"
#include "tests/sim/control_net.h"

namespace ringwire::sim {

[[nodiscard]] std::string node_name(std::uint32_t node);
[[nodiscard]] Endpoint endpoint_of(std::uint32_t node, std::uint32_t worker);

struct ManagerConfig {
  std::uint32_t self = 0;
  std::uint32_t nodes = 1;
  std::uint32_t servers = 1;  ///< the first nodes; only they are dialled
  std::uint32_t workers = 1;
  bool server = true;
  std::uint32_t secondaries = 0;
  std::uint32_t max_packet_bytes = 8'944;
  std::uint64_t receive_queue_bytes = 512 * 1024;
  std::uint32_t message_slots = 256;
  DurationNs heartbeat_ns = 100 * kMillisecondNs;
  std::uint64_t seed = 1;
};

class Manager {
 public:
  /// Whom it talks to.
  class Host {
   public:
    virtual ~Host() = default;
    virtual void command(std::uint32_t worker, worker::Command command) = 0;
    virtual ControlNet::End dial(std::uint32_t node) = 0;
    virtual void send(ControlNet::End end, std::span<const std::byte> bytes) = 0;
    virtual void close(ControlNet::End end) = 0;
    virtual void on_state(std::uint32_t node, worker::PeerState state) = 0;
    virtual void on_established(std::uint32_t node, std::uint64_t own_id,
                                std::uint64_t peer_id) = 0;
  };

  Manager(const ManagerConfig& config, Host& host, TimeNs now);

  void on_arrival(TimeNs now, ControlNet::Arrival& arrival);
  void on_evidence(TimeNs now, const worker::PeerEvidence& evidence);
  void on_session_broken(TimeNs now, std::uint32_t node);
  /// The next sessions with that node use smaller packets.
  void on_path_too_small(TimeNs now, std::uint32_t node);
  void drain(TimeNs now);
  /// What is due; also the sending of what is to be sent.
  void run(TimeNs now);
  [[nodiscard]] TimeNs next_deadline_ns() const { return next_ns_; }
  /// Control connections with a node that are in use.
  [[nodiscard]] std::size_t connections_with(std::uint32_t node) const;
  [[nodiscard]] worker::PeerState state_of(std::uint32_t node) const { return peers_[node].told; }

 private:
  struct Link {
    std::uint64_t number = 0;
    ControlNet::End end = 0;
    std::uint32_t node = 0;  ///< the other one
    bool dialled = false;
    bool ended = false;
    std::unique_ptr<control::PeerControl> control;
  };
  struct Peer {
    explicit Peer(TimeNs now, const ring::DetectorTunables& tunables) : detector(tunables, now) {}
    ring::Detector detector;
    worker::PeerState told = worker::PeerState::kUnknown;
    bool seen = false;
    bool leaving = false;
    TimeNs heard_ns = 0;
    std::uint64_t established = 0;  ///< link number, 0 = none
    bool dialling = false;
    DurationNs retry_ns = 0;
    TimeNs dial_at_ns = kNeverNs;
    std::uint32_t packet_bytes = 0;         ///< of the sessions
    std::uint32_t path_bytes = UINT32_MAX;  ///< that the path is believed to carry
  };

  [[nodiscard]] control::PeerControlConfig control_config(control::Direction direction) const;
  Link& add_link(ControlNet::End end, std::uint32_t node, bool dialled);
  Link* find(ControlNet::End end);
  void pump(TimeNs now, Link& link);
  void on_event(TimeNs now, Link& link, control::ControlEvent& event);
  void on_established(TimeNs now, Link& link, const control::Established& established);
  void on_ended(TimeNs now, Link& link, ring::CloseKind kind);
  void carry_out(TimeNs now, const std::vector<control::Decision>& decisions);
  void plan_dial(TimeNs now, std::uint32_t node, bool soon);
  void apply(std::uint32_t node, ring::LivenessChange change);
  void tell(std::uint32_t node);
  void close_sessions(std::uint32_t node);
  void plan();

  ManagerConfig config_;
  Host& host_;
  Random random_;
  Id128 incarnation_;
  control::Arbiter arbiter_;
  std::map<std::uint64_t, Link> links_;
  std::uint64_t next_link_ = 1;
  std::vector<Peer> peers_;
  TimeNs started_ns_;
  TimeNs tick_at_ns_;
  TimeNs next_ns_;
  bool gave_up_ = false;
  bool draining_ = false;
};

}  // namespace ringwire::sim
