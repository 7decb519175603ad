// Load by messages: the sessions of a node without programs with all workers of one engine, over
// the generator's queues, and what became of each message that was sent on them. The sessions are
// the engine's own (engine/transport); what a worker does beyond them (routing, trying again) is
// left out: every message goes once, to this engine, and ends as that says. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/cli/histogram.h"
#include "apps/cli/ticket_table.h"
#include "apps/pktgen/control_connection.h"
#include "apps/pktgen/wire.h"
#include "base/ids.h"
#include "base/time.h"
#include "engine/transport/session.h"

namespace ringwire::pktgen {

/// Messages without an outcome at a time. 3,072: the requests that fit the slots of one session.
inline constexpr std::uint32_t kMaxWindow = 3'072;
/// Bytes of all payloads that are under way.
inline constexpr std::uint64_t kMaxPayloadBytes = std::uint64_t{1} << 30;

inline constexpr std::uint32_t kMaxKeys = 1U << 20;

struct LoadOptions {
  std::uint64_t payload_bytes = 64;
  std::uint32_t window = 256;  ///< messages without an outcome
  std::uint32_t keys = 1'024;  ///< spread evenly, in turn
  double messages_per_s = 0;   ///< 0: whenever the window has room
  std::uint64_t count = 0;     ///< 0: until stop()
  Level level = Level::kProcessed;
  bool call = false;    ///< ask for a reply, which must be equal
  bool ordered = true;  ///< by key
  std::string service;
};

class MessageLoad {
 public:
  /// Throws WireError: the payloads need too much memory, no way to the engine.
  MessageLoad(Wire& wire, const ControlConnection& control, DurationNs round_trip_ns,
              const LoadOptions& options);
  ~MessageLoad();
  MessageLoad(const MessageLoad&) = delete;
  MessageLoad& operator=(const MessageLoad&) = delete;

  /// One pass: what came, what is due, what goes.
  void poll(TimeNs now);
  /// Send nothing new.
  void stop() { stopped_ = true; }
  /// All that was to be sent has been, and has ended.
  [[nodiscard]] bool finished() const { return !may_send() && open() == 0; }

  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t done() const { return done_; }
  /// Sent, and without an outcome.
  [[nodiscard]] std::uint64_t open() const {
    return slots_.size() - free_.size() - (prepared_ == kNone ? 0 : 1);
  }
  /// Replies that differ from what was sent.
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }
  /// By "done", "failed(no_consumer)", "unknown(timeout)", "no_reply".
  [[nodiscard]] const std::map<std::string, std::uint64_t>& outcomes() const { return outcomes_; }
  /// From when a message was due (with a rate) or sent to its outcome; of those done.
  [[nodiscard]] const cli::Histogram& latency() const { return latency_; }
  /// Of all sessions.
  [[nodiscard]] transport::SessionCounters counters() const;
  /// Sessions that the engine or the path broke.
  [[nodiscard]] std::uint64_t broken() const { return broken_; }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  enum class SlotState : std::uint8_t {
    kFree,
    kSending,   ///< its session reads the payload
    kAnswered,  ///< the same, but it has its outcome
    kAwaited,   ///< processed; its reply is on the way
  };
  struct Slot {
    std::unique_ptr<std::byte[]> payload;
    SlotState state = SlotState::kFree;
    TimeNs from_ns = 0;
    std::uint64_t sequence = 0;
    std::uint32_t key = 0;
    std::uint32_t channel = 0;
  };
  struct Key {
    std::array<std::byte, 8> bytes{};
    std::uint64_t hash = 0;
    std::uint32_t newest = kNone;  ///< slot, which may be another's by now
    std::uint64_t newest_sequence = 0;
  };
  struct Line {
    std::unique_ptr<transport::Session> session;
    std::uint64_t connection_id = 0;
    std::size_t queue = 0;
    port::DestinationId destination{};
  };
  /// A reply of more than one frame.
  struct Incoming {
    std::vector<std::byte> bytes;
    MessageId call;
    Level level{};
  };
  /// Packets of a queue that its port has not taken yet.
  struct Unsent {
    std::array<port::TxPacket, port::kBurstPackets> packets;
    std::size_t from = 0;
    std::size_t count = 0;
    std::size_t next_line = 0;
  };

  [[nodiscard]] bool may_send() const {
    return !stopped_ && (options_.count == 0 || sent_ < options_.count);
  }
  void open_lines(const ControlConnection& control, DurationNs round_trip_ns);
  void receive(TimeNs now);
  void send_due(TimeNs now);
  void prepare();
  bool send_prepared(TimeNs from_ns);
  void transmit(TimeNs now);
  void fill(TimeNs now, std::size_t queue);
  void handle(TimeNs now, std::size_t line);
  void on_reply(TimeNs now, const MessageId& call, std::span<const std::byte> payload);
  void on_result(TimeNs now, std::uint32_t slot, Ending ending, Reason reason);
  void turn_away(std::size_t line, const transport::Event& event);
  void settle_reply(std::size_t line, transport::MessageNumber number, Level level);
  void count_done(TimeNs now, const Slot& slot);
  void free(std::uint32_t slot);
  void close(TimeNs now, std::size_t line);

  Wire& wire_;
  LoadOptions options_;
  Id128 attachment_;
  std::uint32_t workers_ = 0;  ///< of the engine
  std::vector<Line> lines_;    ///< [queue x workers_ + worker]
  std::map<std::uint64_t, std::size_t> line_by_connection_;
  std::vector<Unsent> unsent_;  ///< by queue
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<Key> keys_;
  std::vector<std::uint64_t> next_sequence_;  ///< by channel, which is the queue
  cli::TicketTable calls_;                    ///< channel and sequence -> slot
  std::map<std::pair<std::size_t, transport::MessageNumber>, Incoming> incoming_;
  transport::EventBatch events_;
  std::map<std::string, std::uint64_t> outcomes_;
  cli::Histogram latency_;
  TimeNs start_ns_ = 0;
  std::uint32_t prepared_ = kNone;  ///< slot whose session had no credit
  std::uint32_t next_key_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t damaged_ = 0;
  std::uint64_t broken_ = 0;
  bool stopped_ = false;
};

}  // namespace ringwire::pktgen
