// The other nodes as this one knows them: who they are, whether they live, the sessions with their
// workers. Judges evidence (heartbeats, the data plane's silence, closed connections) and tells the
// workers, the status page and the log what changed. Knows no socket: control_links does. Ring
// manager only; cold.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/control/messages.h"
#include "engine/control/peer_control.h"
#include "engine/node/memory_budget.h"
#include "engine/node/ring_view.h"
#include "engine/node/state_log.h"
#include "engine/node/status_page.h"
#include "engine/node/workers.h"
#include "ring/detector.h"

namespace ringwire::node {

struct Peer {
  std::string name;
  worker::NodeIndex index = 0;
  control::Hello hello;
  bool connected = false;  ///< a control connection is established
  bool leaving = false;
  std::optional<control::NodeCondition> condition;
  DurationNs rtt_ns = 0;
  TimeNs heard_ns = 0;
  std::uint64_t session_bytes = 0;
  std::uint32_t packet_bytes = 0;  ///< of the sessions
  Endpoint control;                ///< where it was dialled, or what it advertises; port 0: unknown
  ring::Detector detector;
  worker::PeerState told = worker::PeerState::kUnknown;
};

struct PeersOptions {
  ring::DetectorTunables tunables;
  std::uint32_t max_packet_bytes = 0;  ///< of our own port
  std::uint32_t message_slots = 0;     ///< that we agree to at most
};

class Peers {
 public:
  Peers(const PeersOptions& options, Workers& workers, MemoryBudget& budget, StatusPage& page,
        RingView& view);

  /// Room for the sessions with this node? To be asked before it is accepted.
  [[nodiscard]] bool has_room(const control::Hello& hello) const;
  /// Ids for the packets that this peer's workers will send to ours; all random, none 0.
  [[nodiscard]] control::Sessions make_ids(const control::Hello& hello) const;

  /// A control connection is established: make the sessions.
  struct Connection {
    Endpoint dialled;       ///< port 0: the peer dialled us
    DurationNs rtt_ns = 0;  ///< of its first segments, before anything can queue; 0: unknown
  };
  void on_established(TimeNs now, const control::Hello& hello,
                      const control::Established& established, const Connection& connection);
  /// The established connection ended.
  void on_lost(TimeNs now, const std::string& name, ring::CloseKind kind);
  /// Frames of the size that its sessions use never arrive: the next ones use less, until the peer
  /// starts anew. Returns the new size.
  std::uint32_t on_path_too_small(const std::string& name);
  void on_heard(TimeNs now, const std::string& name);
  void on_rtt(const std::string& name, DurationNs rtt_ns);
  void on_state(const std::string& name, const control::NodeState& state);
  void on_goodbye(const std::string& name);
  void on_evidence(TimeNs now, const worker::PeerEvidence& evidence);
  /// Members that were never heard of count as down from now on; until then messages wait for them.
  void give_up_unseen(const std::string& self);
  /// Time passes. Returns how long it may take until the next call.
  DurationNs tick(TimeNs now);

  [[nodiscard]] const std::map<std::string, Peer>& all() const { return peers_; }
  [[nodiscard]] const Peer* find(const std::string& name) const;
  [[nodiscard]] const Peer* find(worker::NodeIndex index) const;

 private:
  void apply(Peer& peer, ring::LivenessChange change);
  void tell(Peer& peer);
  void close_sessions(Peer& peer);
  [[nodiscard]] std::uint64_t session_bytes(const control::Hello& hello) const;
  Peer* find_mutable(const std::string& name);

  PeersOptions options_;
  Workers& workers_;
  MemoryBudget& budget_;
  StatusPage& page_;
  RingView& view_;
  std::map<std::string, Peer> peers_;
  /// Nodes behind a path that swallows large frames.
  struct Narrow {
    Id128 incarnation;
    std::uint32_t packet_bytes = 0;
  };
  std::map<std::string, Narrow> narrow_;
  StateLog log_;
};

}  // namespace ringwire::node
