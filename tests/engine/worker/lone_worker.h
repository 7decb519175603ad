// One worker with one peer, whose session is in the test's hands: it sends what the test wants, and
// hears nothing while it is deaf. A second one calls messages back that did not come. The ring
// manager is the test: it reads the notices. Virtual time; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "engine/transport/session.h"
#include "engine/wire/frame.h"
#include "engine/worker/worker.h"
#include "tests/fuzz/hand_port.h"

namespace ringwire::worker {

class LoneWorker {
 public:
  static constexpr NodeIndex kPeer = 1;
  static constexpr NodeIndex kOther = 2;
  static constexpr std::uint64_t kLargeBytes = 300'000;

  struct Result {
    std::uint64_t sequence = 0;
    Ending ending{};
    Reason reason{};
    auto operator<=>(const Result&) const = default;
  };
  /// At the peer: a message, or one of a run.
  struct Came {
    std::uint64_t sequence = 0;
    std::uint64_t hash = 0;
    Level level{};
    std::uint16_t flags = 0;
    std::string service;
    std::string text;       ///< key and payload
    std::uint32_t run = 0;  ///< its number, from 1 on; 0: it came by itself
    NodeIndex node = 0;     ///< to whom
  };
  struct Sent {
    std::uint64_t sequence = 1;
    std::uint64_t predecessor = 0;
    std::uint64_t attachment = 7;
    std::uint64_t bytes = 100;
    Level level = Level::kProcessed;
    std::string_view service = {};  ///< "", or one that was added
    bool call = false;
  };

  explicit LoneWorker(std::uint32_t duplicate_windows = 16)
      : LoneWorker(small_config(duplicate_windows)) {}
  explicit LoneWorker(const WorkerConfig& config)
      : worker_(config, port_, commands, notices, now_) {
    command(AddSession{
        kPeer, 0, 1, {}, 55, std::make_unique<transport::Session>(session(55, 56), now_)});
    command(SetPeerState{kPeer, PeerState::kUp});
    command(AddSession{
        kOther, 0, 1, {}, 57, std::make_unique<transport::Session>(session(57, 58), now_)});
    command(SetPeerState{kOther, PeerState::kUp});
    turn();
  }

  /// As its thread does when nothing is to do.
  bool falls_asleep() { return worker_.prepare_sleep(); }
  void command(Command item) { RW_CHECK(commands.try_push(item)); }

  void send(const Sent& sent) { static_cast<void>(send_by(peer_, sent)); }

  /// This node sends a message that is lost, and calls it back.
  void call_back_unseen(NodeIndex node, const Sent& sent) {
    transport::Session& session = node == kPeer ? peer_ : other_;
    const transport::MessageNumber number = send_by(session, sent);
    while (session.poll_transmit(now_, packet_) != 0) {
    }
    session.withdraw(number);
    turn();
  }

 private:
  transport::MessageNumber send_by(transport::Session& session, const Sent& sent) {
    transport::OutgoingMessage message;
    message.header.id = {{sent.attachment, 1}, 0, sent.sequence};
    message.header.predecessor = sent.predecessor;
    message.header.payload_bytes = sent.bytes;
    message.header.level = sent.level;
    message.header.service = sent.service;
    if (sent.call) message.header.flags |= wire::kCall;
    message.header.epoch = 1;
    message.payload = payload_.data();
    message.cookie = static_cast<std::uint32_t>(sent.sequence);
    transport::MessageNumber number{};
    RW_CHECK(session.send(message, number) == transport::SendVerdict::kTaken);
    return number;
  }

 public:
  /// A run of messages without payload for this service; its results have these sequences.
  transport::MessageNumber send_run(std::uint64_t first, std::uint32_t count,
                                    std::string_view service, transport::MessageNumber after = {}) {
    wire::RunHeader header;
    header.id = {{7, 1}, 0, first};
    header.epoch = 1;
    header.after = static_cast<std::uint32_t>(after);
    header.generation = 1;
    header.count = count;
    header.service = service;
    auto& body = bodies_.emplace_back(count * wire::kRunEntryHeaderBytes);
    for (std::uint32_t index = 0; index < count; ++index)
      wire::put_run_entry(&body[index * wire::kRunEntryHeaderBytes], {index, index, 0, 0, nullptr});
    transport::MessageNumber number{};
    RW_CHECK(peer_.send_run(header, body, static_cast<std::uint32_t>(first), number) ==
             transport::SendVerdict::kTaken);
    return number;
  }

  void deliver(const Sent& sent) {
    send(sent);
    pass(kMillisecondNs);
  }

  void pass(DurationNs duration, DurationNs between_turns = kMillisecondNs) {
    for (const TimeNs end = now_ + duration; now_ < end;) {
      now_ += between_turns;
      turn();
    }
  }

  void turn() {
    worker_.turn(now_);
    for (const auto& sent : port_.take_sent()) {
      if (deaf) continue;
      const auto header = wire::decode_frame_header(sent.bytes);
      hearing_ = header->connection_id == 56 ? kPeer : kOther;
      RW_CHECK((header->connection_id == 56 ? peer_ : other_).on_packet(now_, sent.bytes, events_));
      read_events();
    }
    for (transport::Session* session : {&peer_, &other_}) {
      if (session->next_deadline_ns() <= now_) {
        session->on_timer(now_, events_);
        read_events();
      }
      while (const std::size_t bytes = session->poll_transmit(now_, packet_))
        port_.give(std::span<const std::byte>(packet_).first(bytes));
    }
  }

  /// All that the worker has said and nobody has read: how many of one kind.
  template <typename Kind>
  std::vector<Kind> take_notices() {
    std::vector<Kind> found;
    Notice notice;
    while (notices.try_pop(notice))
      if (auto* one = std::get_if<Kind>(&notice)) found.push_back(std::move(*one));
    return found;
  }
  /// The device takes so many packets and no more each time.
  void narrow(std::size_t most_a_burst) { port_.most_a_burst = most_a_burst; }
  void fill_notices() {
    for (Notice none; notices.try_push(none);) {
    }
  }
  WorkerCounters counters() {
    command(TakeSnapshot{std::make_unique<WorkerSnapshot>()});
    turn();
    auto taken = take_notices<SnapshotTaken>();
    RW_CHECK(taken.size() == 1);
    return taken.front().snapshot->counters;
  }

  static WorkerConfig small_config(std::uint32_t duplicate_windows = 16) {
    WorkerConfig config;
    config.out_messages = 64;
    config.in_messages = 256;
    config.duplicate_windows = duplicate_windows;
    return config;
  }

  CommandBox commands;
  NoticeBox notices;
  std::vector<Result> results;        ///< of the messages sent
  std::size_t messages_received = 0;  ///< by the peer, which settles none
  std::uint32_t runs_received = 0;    ///< likewise
  std::vector<Came> came;             ///< all of these
  bool deaf = false;                  ///< what the worker sends is lost
  std::vector<std::byte> room;        ///< for one large message to the peers

 private:
  static transport::SessionConfig session(std::uint64_t local, std::uint64_t remote) {
    transport::SessionConfig config;
    config.local_connection_id = local;
    config.remote_connection_id = remote;
    config.max_packet_bytes = fuzz::HandPort::kBytes;
    config.message_slots = 4'096;
    return config;
  }

  void read_events() {
    for (const transport::Event& event : events_.all()) {
      if (event.kind == transport::EventKind::kMessage) {
        ++messages_received;
        const wire::MessageHeader& header = event.header;
        came.push_back({header.id.sequence, header.hash, header.level, header.flags,
                        std::string(header.service), text_of(event.payload), 0, hearing_});
      }
      if (event.kind == transport::EventKind::kRun) read_run(event);
      if (event.kind == transport::EventKind::kOpen && event.header.payload_bytes <= room.size())
        (hearing_ == kPeer ? peer_ : other_).accept(event.number, room.data());
      if (event.kind == transport::EventKind::kResult)
        results.push_back({event.cookie, event.ending, event.reason});
      if (event.kind == transport::EventKind::kRunResult) read_run_result(event);
    }
    events_.clear();
  }

  static std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  void read_run(const transport::Event& event) {
    ++runs_received;
    const std::byte* at = event.payload.data();
    for (std::uint32_t index = 0; index < event.run.count; ++index) {
      const wire::RunEntry entry = wire::run_entry_at(at);
      came.push_back({event.run.id.sequence + entry.sequence_offset, entry.hash, event.run.level,
                      event.run.flags, std::string(event.run.service),
                      text_of({entry.bytes, entry.used_bytes()}), runs_received, hearing_});
      at += entry.whole_bytes();
    }
  }
  void read_run_result(const transport::Event& event) {
    for (std::uint32_t index = 0; index < wire::kMaxRunMessages; ++index) {
      if ((event.mask >> index & 1) == 0) continue;
      const bool failed = (event.failed >> index & 1) != 0;
      results.push_back({event.cookie + index,
                         failed ? event.failures->ending[index] : Ending::kDone,
                         failed ? event.failures->reason[index] : Reason::kNone});
    }
  }

  TimeNs now_ = kSecondNs;
  NodeIndex hearing_ = 0;
  fuzz::HandPort port_;
  Worker worker_;
  transport::Session peer_{session(56, 55), kSecondNs};
  transport::Session other_{session(58, 57), kSecondNs};
  transport::EventBatch events_;
  std::array<std::byte, fuzz::HandPort::kBytes> packet_{};
  std::deque<std::vector<std::byte>> bodies_;
  std::vector<std::byte> payload_{std::vector<std::byte>(kLargeBytes)};
};

}  // namespace ringwire::worker
