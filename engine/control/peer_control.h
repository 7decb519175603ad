// One control connection between two engines, as a state machine without input and output: it is
// told the time, handed the bytes that came, and asked for the bytes to send. Pure, cold, one
// thread (the ring manager). Which of several connections to one node survives is arbiter's
// business, who is alive is ring/detector's.
//
// Both sides send Hello as soon as the connection stands, and judge the other's (admission). The
// owner then says accept(connection ids) or refuse(). Acceptance travels as Sessions. Of the two
// engines the one with the smaller incarnation is the *chooser*: it sends Sessions first, the other
// sends its own only after them. So one side alone decides which connection of a pair is used, and
// a simultaneous dial from both ends leaves exactly one (see arbiter). Established = both Sessions
// have been seen here.
//
//   kConnecting -> kHelloSent -> kJudging -> kAccepted -> kEstablished -> kClosed
//                                 (their Hello)  (accept())   (Sessions)
//
// The cycle of the owner:
//   on_connected / on_bytes / on_closed / on_timer as they happen
//   for (event : take_events()) ...
//   write output(), then consume_output(written); when wants_close() and output() is empty: close.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "engine/control/messages.h"
#include "engine/control/stream.h"

namespace ringwire::control {

/// Bytes that may wait for a peer that does not read: then the connection is given up. 1 MiB is
/// some 15 full peer lists.
inline constexpr std::size_t kMaxOutputBytes = 1024 * 1024;

enum class Direction : std::uint8_t { kDialled, kAccepted };

/// How the kernel said the connection ended.
enum class CloseKind : std::uint8_t {
  kFinOrReset,  ///< the other process closed it, or is gone
  kTimeout,     ///< the kernel gave up: says nothing about the process
};

struct PeerControlConfig {
  Direction direction = Direction::kDialled;
  Hello own;
  DurationNs heartbeat_ns = 100 * kMillisecondNs;   ///< after so long without sending
  DurationNs handshake_timeout_ns = 5 * kSecondNs;  ///< from on_connected to established
  /// A connection on which nothing came for so long is closed, so that half-open ones do not stay
  /// for ever. Far above any suspicion time: a stopped engine keeps its connections meanwhile.
  DurationNs silence_timeout_ns = 30 * kSecondNs;
};

enum class LostReason : std::uint8_t {
  kClosedByPeer,       ///< FIN or RST: the process is gone, or closed on purpose
  kConnectionTimeout,  ///< the kernel's word
  kSilence,            ///< silence_timeout_ns
  kHandshakeTimeout,
  kProtocolError,  ///< bytes or messages that break the rules; `error` and text say which
  kOutputFull,     ///< the peer does not read
  kClosedByUs,     ///< close() was called
};

enum class RefusedBy : std::uint8_t { kUs, kPeer };

// ---- events -------------------------------------------------------------------------------------

/// The peer's Hello fits ours: call accept() or refuse(), now or later.
struct HelloArrived {
  Hello hello;
};
/// Both accepted. `sessions` holds the ids that the peer wants to see.
struct Established {
  Sessions own;
  Sessions peer;
  std::uint16_t wire_version = 0;
  std::uint64_t features = 0;
};
/// One side refused; the connection ends. No Lost follows.
struct Refused {
  RefuseReason reason{};
  std::string text;
  RefusedBy by{};
};
struct RttMeasured {
  DurationNs rtt_ns = 0;
};
struct StateArrived {
  NodeState state;
};
struct PeersArrived {
  PeerList list;
};
struct GoodbyeArrived {
  GoodbyeReason reason{};
};
/// The peer answered our challenge().
struct ChallengeAnswered {};
/// The connection ended other than by a refusal.
struct Lost {
  LostReason reason{};
  std::string text;  ///< for the log; empty when the reason says all
};

using ControlEvent = std::variant<HelloArrived, Established, Refused, RttMeasured, StateArrived,
                                  PeersArrived, GoodbyeArrived, ChallengeAnswered, Lost>;

class PeerControl {
 public:
  enum class State : std::uint8_t {
    kConnecting,  ///< before on_connected
    kHelloSent,   ///< waiting for their Hello
    kJudging,     ///< waiting for accept() or refuse()
    kAccepted,    ///< waiting for their Sessions
    kEstablished,
    kClosed,
  };

  explicit PeerControl(PeerControlConfig config) : config_(std::move(config)) {}

  // --- inputs ---

  /// The TCP connection stands: sends our Hello.
  void on_connected(TimeNs now);
  /// Bytes came. Any bytes: hostile ones end in Lost{kProtocolError}.
  void on_bytes(TimeNs now, std::span<const std::byte> bytes);
  /// The TCP connection ended, or could not be made.
  void on_closed(TimeNs now, CloseKind kind);
  /// next_deadline_ns() has come.
  void on_timer(TimeNs now);

  // --- commands ---

  /// Accept the peer with these ids for it; only in kJudging.
  void accept(TimeNs now, Sessions own);
  /// Turn the peer away; from kHelloSent on, before it is established.
  void refuse(TimeNs now, RefuseReason reason, std::string text);
  /// Ask for a sign of life; answered by ChallengeAnswered. From kJudging on; nothing while the
  /// previous one is unanswered.
  void challenge(TimeNs now, std::uint64_t nonce);
  // These four are sent only while established; otherwise they return false and do nothing.
  bool send_state(TimeNs now, const NodeState& state);
  /// Any number of peers; split into as many lists as needed.
  bool send_peers(TimeNs now, std::span<const PeerList::Peer> peers);
  bool send_goodbye(TimeNs now, GoodbyeReason reason);
  /// A heartbeat out of turn, to ask a silent peer.
  bool send_heartbeat(TimeNs now);
  /// End the connection: what is to be sent already still goes out.
  void close();

  // --- outputs ---

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] Direction direction() const { return config_.direction; }
  /// Their Hello, from kJudging on.
  [[nodiscard]] const std::optional<Hello>& peer() const { return peer_; }
  /// True when our incarnation is the smaller one; only with peer().
  [[nodiscard]] bool is_chooser() const;
  [[nodiscard]] TimeNs heard_at_ns() const { return heard_at_; }

  /// What happened since the last call, in order.
  [[nodiscard]] std::vector<ControlEvent> take_events();
  /// Bytes to write; valid until the next call of anything else here.
  [[nodiscard]] std::span<const std::byte> output() const;
  void consume_output(std::size_t bytes);
  /// True when the connection is to be closed as soon as output() is empty.
  [[nodiscard]] bool wants_close() const { return state_ == State::kClosed; }
  /// When on_timer is due; kNeverNs when never.
  [[nodiscard]] TimeNs next_deadline_ns() const;

 private:
  void send(TimeNs now, const Message& message);
  void lose(LostReason reason, std::string text = {});
  void break_off(std::string_view what) { lose(LostReason::kProtocolError, std::string(what)); }
  void establish(TimeNs now);
  [[nodiscard]] bool is_before_establishment() const;

  void on(TimeNs now, const Hello& hello);
  void on(TimeNs now, const HelloRefuse& refuse);
  void on(TimeNs now, const Sessions& sessions);
  void on(TimeNs now, const Heartbeat& heartbeat);
  void on(TimeNs now, const HeartbeatAck& ack);
  void on(TimeNs now, const Goodbye& goodbye);
  void on(TimeNs now, const NodeState& state);
  void on(TimeNs now, const PeerList& list);
  void on(TimeNs now, const Challenge& challenge);
  void on(TimeNs now, const ChallengeAnswer& answer);

  PeerControlConfig config_;
  State state_ = State::kConnecting;
  MessageStream stream_;
  std::vector<std::byte> output_;
  std::size_t output_taken_ = 0;
  std::vector<ControlEvent> events_;
  std::optional<Hello> peer_;
  std::optional<Sessions> own_sessions_;
  std::optional<Sessions> peer_sessions_;
  std::optional<std::uint64_t> challenge_nonce_;
  std::uint64_t heartbeat_sequence_ = 0;
  TimeNs connected_at_ = 0;
  TimeNs sent_at_ = 0;
  TimeNs heard_at_ = 0;
};

}  // namespace ringwire::control
