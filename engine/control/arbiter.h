// Which control connection to a node is used when there are several: at most one per pair of
// engines, and at most one engine per node name. Pure, cold, one per engine.
//
// Two engines that dial each other at once make two connections. The chooser (the smaller
// incarnation, see peer_control) accepts the first whose Hello it sees and puts the second to the
// test below; the other engine accepts whatever the chooser does.
//
// The test: a connection of a name that is already connected waits, while the older connection is
// challenged. If that answers within kChallengeNs it stays, and the newcomer is refused
// (kDuplicateConnection, or kNameInUse if it is another incarnation); else the newcomer supersedes
// it: so a half-open connection never locks a node out, and a second engine of one name never
// pushes a living one away.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "engine/control/messages.h"

namespace ringwire::control {

/// 1 s: ten times what fail-over may take, so that only a connection that is long given up loses.
inline constexpr DurationNs kChallengeNs = kSecondNs;

/// The owner's number for a connection; unique while the engine runs.
using ConnectionNumber = std::uint64_t;

struct Decision {
  enum class Kind : std::uint8_t {
    kAccept,     ///< PeerControl::accept
    kRefuse,     ///< PeerControl::refuse, with `reason`
    kChallenge,  ///< PeerControl::challenge
    kClose,      ///< PeerControl::close: superseded
  };
  Kind kind{};
  ConnectionNumber connection = 0;
  RefuseReason reason{};  ///< kRefuse
  bool operator==(const Decision&) const = default;
};

class Arbiter {
 public:
  /// `max_nodes`: names that may be connected at once.
  explicit Arbiter(const Id128& own_incarnation, std::size_t max_nodes = kMaxNodes)
      : own_incarnation_(own_incarnation), max_nodes_(max_nodes) {}

  // Each returns what is to be done, in order.

  /// HelloArrived on this connection.
  [[nodiscard]] std::vector<Decision> on_hello(TimeNs now, ConnectionNumber connection,
                                               std::string_view node_name,
                                               const Id128& incarnation);
  /// Established on this connection.
  [[nodiscard]] std::vector<Decision> on_established(ConnectionNumber connection);
  /// ChallengeAnswered on this connection.
  [[nodiscard]] std::vector<Decision> on_challenge_answered(ConnectionNumber connection);
  /// Refused or Lost on this connection; harmless for unknown ones.
  [[nodiscard]] std::vector<Decision> on_ended(ConnectionNumber connection);
  [[nodiscard]] std::vector<Decision> on_timer(TimeNs now);

  /// From now on every newcomer is refused with kDraining.
  void drain() { is_draining_ = true; }

  [[nodiscard]] TimeNs next_deadline_ns() const;
  [[nodiscard]] std::size_t nodes_count() const { return names_.size(); }

 private:
  struct Used {
    ConnectionNumber connection = 0;
    Id128 incarnation;
    bool is_established = false;
  };
  struct Waiting {
    ConnectionNumber connection = 0;
    Id128 incarnation;
    TimeNs deadline = 0;
  };
  // A name has at least one used connection as long as it is in the map.
  struct Name {
    std::vector<Used> used;
    std::optional<Waiting> waiting;
  };
  using Names = std::map<std::string, Name, std::less<>>;

  [[nodiscard]] Names::iterator find_used(ConnectionNumber connection);
  static Decision promote(Name& name);
  static RefuseReason reason_against(const Name& name, const Id128& incarnation);

  Id128 own_incarnation_;
  std::size_t max_nodes_;
  bool is_draining_ = false;
  Names names_;
};

}  // namespace ringwire::control
