// What two engines say to each other over their control connection (kernel TCP): the messages as
// plain structs, and their encoding. Pure, cold, one thread (the ring manager); allocates bounded
// amounts only. Which message may come when is peer_control's business; docs/wire.md has the
// layout.
//
//   u32 length   of what follows, 2 .. kMaxMessageBytes, little-endian like everything here
//   u16 type     MessageType
//   body         length - 2 bytes
//
// Texts are u16 length + bytes without NUL. A Hello may be longer than this version knows: fields
// are only ever appended to it, so that versions N and N+1 can read each other's. All other bodies
// end exactly where their fields end; they are of the version that the Hellos agreed on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace ringwire::control {

inline constexpr std::size_t kLengthBytes = 4;
inline constexpr std::size_t kTypeBytes = 2;
/// Of type and body. 64 KiB: holds the largest message (a peer list of kMaxPeersPerList) and bounds
/// what a connection can make us buffer.
inline constexpr std::size_t kMaxMessageBytes = 64 * 1024;
inline constexpr std::size_t kMaxNodes = 1'024;       ///< nodes that one engine talks to
inline constexpr std::size_t kMaxPeersPerList = 512;  ///< 512 x at most 87 bytes < 64 KiB
inline constexpr std::size_t kMaxTextBytes = 255;     ///< versions, refusal texts, zones

// What a Hello must offer so that sessions can be made of it; the transport's and the ring's own
// limits, which whoever makes sessions and rings compares.
inline constexpr std::uint32_t kLeastPacketBytes = 1'200;
inline constexpr std::uint32_t kLeastMessageSlots = 128;
inline constexpr std::uint32_t kMostMessageSlots = 65'536;
inline constexpr std::uint32_t kLeastWeight = 256;          ///< 1/256, in 16 fraction bits
inline constexpr std::uint32_t kMostWeight = 1'024U << 16;  ///< of a server

inline constexpr std::uint64_t kProtocolMagic = 0x4552'4957'474e'4952ULL;  ///< "RINGWIRE"
/// Versions of the wire (control and data) that this engine speaks.
inline constexpr std::uint16_t kWireVersionMin = 1;
inline constexpr std::uint16_t kWireVersionMax = 1;

enum class MessageType : std::uint16_t {
  kHello = 1,
  kHelloRefuse = 2,
  kSessions = 3,
  kHeartbeat = 4,
  kHeartbeatAck = 5,
  kGoodbye = 6,
  kNodeState = 7,
  kPeerList = 8,
  kChallenge = 9,
  kChallengeAnswer = 10,
};

enum class Role : std::uint8_t { kServer = 0, kSlave = 1 };
enum class Security : std::uint8_t { kClear = 0, kTls = 1 };
/// Same values as ring::ClusterType.
enum class ClusterKind : std::uint8_t { kHash = 0, kRandom = 1 };

/// The first message of both sides, sent as soon as the connection stands.
struct Hello {
  std::uint64_t magic = kProtocolMagic;
  std::uint16_t wire_version_min = kWireVersionMin;
  std::uint16_t wire_version_max = kWireVersionMax;
  std::uint64_t features = 0;  ///< bits; in force is what both sides set
  Security security = Security::kClear;
  std::string cluster_name;
  Id128 cluster_id;  ///< empty: not known yet
  std::string node_name;
  Id128 incarnation;  ///< random, new at each start of the engine
  Role role = Role::kServer;
  ClusterKind cluster_kind = ClusterKind::kHash;
  std::uint32_t secondaries = 0;
  std::uint32_t placement_version = 0;
  std::uint64_t placement_digest = 0;     ///< 0: no view yet
  std::uint64_t members_digest = 0;       ///< 0: no member list of its own
  std::vector<Endpoint> data_endpoints;   ///< one per worker, 1 .. kMaxWorkers
  std::uint32_t max_packet_bytes = 0;     ///< UDP payload its port takes
  std::uint64_t receive_queue_bytes = 0;  ///< per worker: what may be in flight towards it
  std::uint32_t message_slots = 0;        ///< per session and direction; a power of two
  std::string software_version;
  std::uint64_t started_at_ns = 0;  ///< since the UNIX epoch; for display only
  std::uint32_t weight = 0;         ///< 16 fraction bits
  std::string zone;
  Endpoint control_endpoint;  ///< what others should dial; port 0: do not dial me
  std::uint64_t nonce = 0;    ///< random, for the security handshake to bind to

  [[nodiscard]] std::uint32_t worker_count() const {
    return static_cast<std::uint32_t>(data_endpoints.size());
  }
  bool operator==(const Hello&) const = default;
};

/// Why a node is turned away. Values are wire format: never renumber.
enum class RefuseReason : std::uint8_t {
  kWireVersion = 1,
  kSecurity = 2,
  kClusterName = 3,
  kClusterId = 4,
  kSelf = 5,       ///< we dialled ourselves
  kNameInUse = 6,  ///< another living engine has this node name
  kClusterType = 7,
  kSecondaries = 8,
  kPlacementVersion = 9,
  kPlacementDigest = 10,      ///< same members, another table: a bug, not a setting
  kMembers = 11,              ///< the member lists (names, weights, zones) differ
  kDuplicateConnection = 12,  ///< another connection of the same two engines is in use
  kTooManyNodes = 13,
  kDraining = 14,    ///< the engine is about to end
  kNotAllowed = 15,  ///< this node name is not on the list of those admitted
};
inline constexpr std::uint8_t kRefuseReasonCount = 15;

struct HelloRefuse {
  RefuseReason reason{};
  std::string text;  ///< one sentence for a person, at most kMaxTextBytes
  bool operator==(const HelloRefuse&) const = default;
};

/// "I accept you; use these ids." connection_ids[own worker x peer_workers + peer's worker] is what
/// must stand in the packets that the peer's worker sends to our worker. None is 0.
struct Sessions {
  std::uint8_t own_workers = 0;
  std::uint8_t peer_workers = 0;
  /// What its sender believes that the path between the two carries: the sessions use the least of
  /// both Hellos' and both Sessions'.
  std::uint32_t max_packet_bytes = 0;
  std::vector<std::uint64_t> connection_ids;

  [[nodiscard]] std::uint64_t at(std::uint32_t own_worker, std::uint32_t peer_worker) const {
    return connection_ids[std::size_t{own_worker} * peer_workers + peer_worker];
  }
  bool operator==(const Sessions&) const = default;
};

struct Heartbeat {
  std::uint64_t sequence = 0;
  TimeNs sent_ns = 0;  ///< by the sender's clock; comes back untouched
  bool operator==(const Heartbeat&) const = default;
};
struct HeartbeatAck {
  std::uint64_t sequence = 0;
  TimeNs sent_ns = 0;
  bool operator==(const HeartbeatAck&) const = default;
};

enum class GoodbyeReason : std::uint8_t { kDraining = 1, kRestart = 2 };
/// The sender takes no new messages, and will close when its work is done.
struct Goodbye {
  GoodbyeReason reason{};
  bool operator==(const Goodbye&) const = default;
};

enum class NodeCondition : std::uint8_t {
  kServing = 1,
  kSuspended = 2,
  kReturning = 3,
  kJoining = 4,
  kLeaving = 5,
  kOut = 6,
};
/// What the sender is now.
struct NodeState {
  NodeCondition condition = NodeCondition::kServing;
  std::uint64_t epoch = 0;
  bool operator==(const NodeState&) const = default;
};

/// Nodes that the sender knows, so that all are found from one seed. Several lists may follow each
/// other; a node that is not listed means nothing.
struct PeerList {
  struct Peer {
    std::string name;
    Endpoint control;
    bool operator==(const Peer&) const = default;
  };
  std::vector<Peer> peers;
  bool operator==(const PeerList&) const = default;
};

/// "Are you still there?" Answered at once, whatever the state of the connection.
struct Challenge {
  std::uint64_t nonce = 0;
  bool operator==(const Challenge&) const = default;
};
struct ChallengeAnswer {
  std::uint64_t nonce = 0;
  bool operator==(const ChallengeAnswer&) const = default;
};

using Message = std::variant<Hello, HelloRefuse, Sessions, Heartbeat, HeartbeatAck, Goodbye,
                             NodeState, PeerList, Challenge, ChallengeAnswer>;

enum class MessageError : std::uint8_t {
  kTooLong,   ///< length above kMaxMessageBytes
  kTooShort,  ///< length without room for a type
  kUnknownType,
  kTruncated,  ///< the body ends before its fields
  kTrailing,   ///< the body goes on after its fields
  kBadValue,   ///< a field outside of its range
};

/// A name of a node, cluster or member: 1 .. kMaxNameBytes of A-Z a-z 0-9 . _ -
[[nodiscard]] bool is_valid_name(std::string_view name);

/// Append the message, framed, to `out`. Texts and lists beyond their limits are a bug (checked).
void encode(const Message& message, std::vector<std::byte>& out);

/// Decode type and body (what the length counts). Any bytes give a message or an error.
[[nodiscard]] Result<Message, MessageError> decode(std::span<const std::byte> type_and_body);

/// A word for each reason, as `ringwire status` and the log show it.
[[nodiscard]] std::string_view name_of(RefuseReason reason);
[[nodiscard]] std::string_view name_of(MessageError error);

}  // namespace ringwire::control
