// The reliable connection between one worker here and one worker of a peer: messages of any size
// over frames that may be lost, reordered or duplicated, each message placed once, acknowledged,
// flow controlled per service, and ended by exactly one result. Pure: told the time, handed the
// bytes; no clock, no thread, no allocation after construction. It does not know programs, groups,
// order between messages, duplicates across sessions, or which node to use: that is the worker's.
// One thread. Hot. Its rules are the numbered clauses of docs/wire.md.
//
// The cycle of a worker's turn:
//   for each received packet:  session.on_packet(now, bytes, events); handle the events at once
//   session.on_timer(now, events) when next_deadline_ns() has come
//   session.send(...), accept(...), settle(...), release(...) as the events and programs demand
//   while (bytes = session.poll_transmit(now, buffer)) hand the buffer to the port
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/ids.h"
#include "base/time.h"
#include "base/zeroed_array.h"
#include "engine/transport/limits.h"
#include "engine/wire/message_header.h"
#include "engine/wire/run_codec.h"

namespace ringwire::transport {

/// Number of a message within its session and direction: slot index in the low bits, generation
/// above.
enum class MessageNumber : std::uint32_t {};

struct SessionConfig {
  std::uint64_t local_connection_id = 0;               ///< stands in the packets that come to us
  std::uint64_t remote_connection_id = 0;              ///< stands in the packets that we send
  std::uint32_t max_packet_bytes = 1'200;              ///< UDP payload: the smaller of both ends
  std::uint64_t peer_receive_queue_bytes = 64 * 1024;  ///< bytes in flight never exceed this
  std::uint32_t message_slots = 4'096;  ///< per direction; a power of two, the same at both ends
  DurationNs initial_rtt_ns = kMillisecondNs;  ///< e.g. as measured by the control connection
  DurationNs idle_rtt_ns =
      0;  ///< of the path without a queue, e.g. the control connection's; 0: unknown
  std::uint64_t seed = 0;  ///< jitter only
  ZeroedMemory memory{};   ///< of its tables: what is not touched need not cost anything
};

struct OutgoingMessage {
  wire::MessageHeader header;  ///< header.key and header.service must stay readable as payload
  const std::byte* payload =
      nullptr;  ///< header.payload_bytes bytes; read until kResult, kClosed or withdraw()
  std::uint32_t cookie = 0;  ///< the caller's, returned in events
};

/// Payload bytes that belong into a packet behind its first `at_bytes`.
struct Gather {
  std::span<const std::byte> bytes;
  std::uint32_t at_bytes = 0;
};

enum class SendVerdict : std::uint8_t {
  kTaken,
  kNoCredit,  ///< the peer's budget for this service is used up; a kCredit event follows when it is
              ///< not
  kNoSlot,    ///< all message slots are in use; a kCredit event follows when one is free
  kClosed,
};

enum class EventKind : std::uint8_t {
  kRun,           ///< small messages of one channel (Event::run): header, body; copy what is needed
  kRunWithdrawn,  ///< their sender asks to forget those of `mask`, as kWithdrawn does for one
  kRunResult,     ///< how those of `mask` ended: cookie, and `failed` or `ending` (see there)
  kMessage,    ///< a whole small message: header, payload; copy what is needed before the next call
  kOpen,       ///< a larger message begins: call accept(), or refuse(), or (announced only) later
  kComplete,   ///< all bytes of an accepted message are in its extent
  kWithdrawn,  ///< the sender asks to forget it. If it was not handed out: settle(kFailed,
               ///< kCancelled) and release(); else carry on as before (the result will be ignored
               ///< by the sender)
  kNeverCame,  ///< the sender asked to forget one that did not come, and now never will:
               ///< header.id and header.predecessor
  kResult,  ///< how a message that we sent ended: cookie, ending, reason. Its payload is ours again
  kSent,    ///< a Level::kNone message is wholly acknowledged by the peer's transport: cookie
  kCredit,  ///< sends refused for want of credit or slots may be tried again
  kClosed,  ///< the session ended; every message still open follows as its own kResult(kUnknown or
            ///< kFailed, kSessionLost): kFailed when no byte of it was ever put into a packet
};

struct Event {
  EventKind kind{};
  Ending ending{};           ///< kResult
  Reason reason{};           ///< kResult
  bool announced = false;    ///< kOpen: no byte flows before accept(); may wait
  MessageNumber number{};    ///< kMessage, kOpen, kComplete, kWithdrawn
  std::uint32_t cookie = 0;  ///< kResult, kSent; kComplete, kWithdrawn: see tag()
  std::uint32_t mask = 0;    ///< kRunWithdrawn, kRunResult: bit per message of the run
  /// kRunResult: of `mask`, those that are not just done; how they ended stands in `failures`, or,
  /// where that is null, in `ending` and `reason`.
  std::uint32_t failed = 0;
  const wire::RunFailures* failures = nullptr;
  wire::MessageHeader
      header;           ///< kMessage, kOpen, kNeverCame; spans point into the packet or the session
  bool waits = false;   ///< kRun: the one that it names before it has not come
  wire::RunHeader run;  ///< kRun; its body is `payload`, and was checked
  std::span<const std::byte> payload;  ///< kMessage, kRun
};

/// A bounded list of events; one packet never makes more than kMaxEvents. Every call of a session
/// that takes one clears it first.
class EventBatch {
 public:
  static constexpr std::size_t kMaxEvents = 512;
  void clear() { count_ = 0; }
  [[nodiscard]] bool full() const { return count_ == kMaxEvents; }
  /// Appends a default event to be filled in. Only when !full().
  Event& add() { return *std::construct_at(&events_[count_++]); }
  /// Takes the newest event back.
  void drop_last() { --count_; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::span<Event> all() { return std::span(events_.get(), count_); }

 private:
  std::unique_ptr<Event[]> events_ = std::make_unique<Event[]>(kMaxEvents);
  std::size_t count_ = 0;
};

/// Counters of one session; all only grow. Names are those of `ringwire status` and the metrics.
struct SessionCounters {
  std::uint64_t packets_sent = 0;
  std::uint64_t packets_received = 0;
  std::uint64_t packets_lost = 0;      ///< declared lost (RFC 9002 section 6)
  std::uint64_t packets_spurious = 0;  ///< declared lost, acknowledged later
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_retransmitted = 0;
  std::uint64_t probes_sent = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t dropped_duplicate_packet = 0;
  std::uint64_t dropped_bad_packet = 0;      ///< checksum or tag
  std::uint64_t dropped_malformed = 0;       ///< well sealed, but breaks a rule: closes the session
  std::uint64_t dropped_early_fragment = 0;  ///< bulk frame of a message not yet opened
  std::uint64_t dropped_old_packet = 0;      ///< below the packet-number window
  std::uint64_t congestion_events = 0;
};

class Session {
 public:
  /// Reserves all it will ever need; touches little of it until the first message.
  Session(const SessionConfig& config, TimeNs now);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Bytes that a session with `message_slots` slots takes in all, for the memory sum at start.
  [[nodiscard]] static std::uint64_t memory_bytes(std::uint32_t message_slots);

  // --- sending ---

  /// Offer a message. kTaken: it will end in exactly one kResult (or kSent for Level::kNone).
  /// Replies (MessageFlag::kReply) need no service credit: their room was reserved with the
  /// request.
  [[nodiscard]] SendVerdict send(const OutgoingMessage& message, MessageNumber& number) {
    return send(message.header, message.payload, message.cookie, number);
  }
  /// The same of its parts.
  [[nodiscard]] SendVerdict send(const wire::MessageHeader& header, const std::byte* payload,
                                 std::uint32_t cookie, MessageNumber& number);

  /// Stop sending a message and never read its payload or key again. The peer is told; one kResult
  /// with the same cookie still follows (kFailed/kCancelled when it provably reached no program).
  void withdraw(MessageNumber number);

  // --- runs: small messages that go as one (docs/wire.md section 8) ---

  /// Offer a run. kTaken: each of its messages ends in one bit of one kRunResult. `body` (entries
  /// of wire::RunEntry, at most max_run_bytes()) is read until the last of them has ended.
  [[nodiscard]] SendVerdict send_run(const wire::RunHeader& header, std::span<const std::byte> body,
                                     std::uint32_t cookie, MessageNumber& number);
  /// Ask the peer to forget messages of a run. Each still ends by its bit.
  void withdraw_run(MessageNumber number, std::uint32_t mask);
  /// Bytes of the largest body that fits a packet whatever its header.
  [[nodiscard]] std::uint32_t max_run_bytes() const;
  /// Messages of a service that may be open at once by now: what a run may have at most.
  [[nodiscard]] std::uint32_t window_messages(std::string_view service);
  /// settle() and release() of messages of a received run.
  void settle_run(MessageNumber number, std::uint32_t mask, Ending ending, Reason reason);
  void release_run(MessageNumber number, std::uint32_t mask);

  // --- receiving ---

  /// Handle one received UDP payload. Events must be handled before the next call. Returns false
  /// when the packet was dropped (and counted).
  /// `waited_ns`: how long it lay in this host's receive queue, 0 if that is not known.
  bool on_packet(TimeNs now, std::span<const std::byte> packet, EventBatch& events,
                 DurationNs waited_ns = 0);

  /// Give an opened message its extent: header.payload_bytes bytes, writable until release().
  void accept(MessageNumber number, std::byte* extent);
  /// What kComplete and kWithdrawn of a received message bring back as their cookie; kNoTag before.
  void tag(MessageNumber number, std::uint32_t cookie);
  static constexpr std::uint32_t kNoTag = 0xffff'ffff;
  /// Turn an opened message away; ends it at the sender as kFailed with this reason. Its slot is
  /// released.
  void refuse(MessageNumber number, Reason reason);
  /// Tell the sender how a received message ended. Once per message; not needed for Level::kNone.
  void settle(MessageNumber number, Ending ending, Reason reason);
  /// The message's memory is free again: gives its credit back. After settle (or for Level::kNone
  /// instead of it). The number is invalid afterwards.
  void release(MessageNumber number);

  // --- time and output ---

  /// Write the next packet into `packet` (at least max_packet_bytes). Returns its bytes, 0 when
  /// there is nothing to send now (idle, or held back by congestion control or pacing).
  /// With `gather`, bytes of a message may be left where they are: then `packet` lacks them, they
  /// count in the returned size, and the caller must have sent or copied them before it calls this
  /// session again.
  [[nodiscard]] std::size_t poll_transmit(TimeNs now, std::span<std::byte> packet,
                                          Gather* gather = nullptr);

  /// When on_timer wants to be called, kNeverNs when not at all.
  [[nodiscard]] TimeNs next_deadline_ns() const;
  void on_timer(TimeNs now, EventBatch& events);

  /// End the session: call repeatedly until it returns true; each call yields a batch of kResult.
  bool close(EventBatch& events);

  // --- state ---

  [[nodiscard]] bool closed() const;
  /// When the last authentic packet came in (construction time before the first).
  [[nodiscard]] TimeNs last_heard_ns() const;
  /// Since when something that wants an answer is unanswered; kNeverNs when nothing is.
  [[nodiscard]] TimeNs unanswered_since_ns() const;
  /// It was closed because frames of max_packet_bytes never arrive while small ones do: the next
  /// session should agree on less.
  [[nodiscard]] bool path_swallows_large() const;
  /// Ask the peer for a sign of life: the next packet is acknowledgement-eliciting.
  void ping();
  [[nodiscard]] DurationNs smoothed_rtt_ns() const;
  [[nodiscard]] std::uint64_t bytes_in_flight() const;
  [[nodiscard]] std::uint32_t messages_open() const;  ///< sent and without a result
  [[nodiscard]] const SessionCounters& counters() const;

  /// Once or more per turn of the caller: whether poll_transmit or on_timer could have anything to
  /// do. Cheap; and says that the caller is awake.
  [[nodiscard]] bool due(TimeNs now) {
    pulse_.see(now);
    return pulse_.touched || (now >= pulse_.due_ns && now >= look_again_ns());
  }
  /// After poll_transmit: whether it may have another packet now.
  [[nodiscard]] bool wants_more() const { return pulse_.touched; }
  /// Whether on_timer has anything to do.
  [[nodiscard]] bool timer_due(TimeNs now) const;

 private:
  struct State;
  /// What due() needs, where it costs one look.
  struct Pulse {
    bool touched = true;  ///< since poll_transmit had nothing to send, or it may have next time
    TimeNs due_ns = 0;    ///< not touched: nothing is due before
    TimeNs seen_ns = 0;   ///< the caller was awake
    bool paused = false;  ///< for long it was not
    void see(TimeNs now) {
      paused |= now - seen_ns > kPauseNs;
      seen_ns = now;
    }
  };
  [[nodiscard]] TimeNs look_again_ns();
  State& touched() {
    pulse_.touched = true;
    return *state_;
  }

  Pulse pulse_;
  std::unique_ptr<State> state_;
};

/// Connection id of a packet, for the worker's table look-up before any session exists; 0 when the
/// bytes cannot be a packet of ours.
[[nodiscard]] std::uint64_t connection_id_of(std::span<const std::byte> packet);

}  // namespace ringwire::transport
