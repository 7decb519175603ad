// A session against a peer that lies (docs/wire.md W-60, and every rule that it names). The input
// is a story: what the peer sends, what the host of the attacked session does, how time passes.
// Beside it two honest sessions talk, which must not notice. Oracle: each message that was taken
// ends exactly once; every packet is counted once, under one reason; a lie closes the session with
// one CLOSE(bad_message); what is in flight, and what one packet causes, stays within its bounds;
// no byte is written outside of an extent (they are of exactly the announced size).
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/check.h"
#include "engine/transport/limits.h"
#include "engine/transport/session.h"
#include "tests/fuzz/forger.h"
#include "tests/fuzz/input.h"

namespace {

using namespace ringwire;
using namespace ringwire::transport;
using fuzz::Input;

constexpr std::uint64_t kId = 55;
constexpr std::uint32_t kPacketBytes = 1'200;
constexpr std::uint32_t kSlots = 512;  // 6 messages for each service before any CREDIT
constexpr std::uint64_t kQueueBytes = 64 * 1024;
constexpr std::uint64_t kTooLargeBytes = 200'000;

SessionConfig config_of(std::uint64_t local, std::uint64_t remote) {
  SessionConfig config;
  config.local_connection_id = local;
  config.remote_connection_id = remote;
  config.max_packet_bytes = kPacketBytes;
  config.peer_receive_queue_bytes = kQueueBytes;
  config.message_slots = kSlots;
  return config;
}

const std::vector<std::byte>& payload() {
  static const std::vector<std::byte> bytes(300'000, std::byte{0x5a});
  return bytes;
}

// Two sessions that keep the rules, beside the attacked one.
class Honest {
 public:
  Honest() : left_(config_of(1, 2), 0), right_(config_of(2, 1), 0) {}

  /// One message across and back; it must be done before the call returns.
  void exchange() {
    OutgoingMessage message;
    message.header.id = {{5, 5}, 0, ++sequence_};
    message.header.payload_bytes = 100;
    message.payload = payload().data();
    message.cookie = static_cast<std::uint32_t>(sequence_);
    MessageNumber number{};
    RW_CHECK(left_.send(message, number) == SendVerdict::kTaken);
    bool done = false;
    for (int round = 0; round < 8 && !done; ++round) {
      now_ += kMillisecondNs / 4;
      carry(left_, right_);
      for (const Event& event : events_.all())
        if (event.kind == EventKind::kMessage) {
          RW_CHECK(event.header.id.sequence == sequence_);
          right_.settle(event.number, Ending::kDone, Reason::kNone);
          right_.release(event.number);
        }
      carry(right_, left_);
      for (const Event& event : events_.all())
        if (event.kind == EventKind::kResult)
          done = event.ending == Ending::kDone && event.cookie == message.cookie;
    }
    RW_CHECK(done);
  }

 private:
  // Everything that one has to say, in one packet (an exchange fits one).
  void carry(Session& from, Session& to) {
    events_.clear();
    if (const std::size_t bytes = from.poll_transmit(now_, packet_))
      RW_CHECK(to.on_packet(now_, std::span(packet_).first(bytes), events_));
  }

  Session left_;
  Session right_;
  EventBatch events_;
  TimeNs now_ = 0;
  std::uint64_t sequence_ = 0;
  std::array<std::byte, kPacketBytes> packet_{};
};

class Story {
 public:
  Story(Input input, Honest& honest)
      : input_(input),
        honest_(honest),
        session_(config_of(kId, kId + 1), 0),
        forger_(kId, kSlots, kPacketBytes) {}

  void tell() {
    for (int step = 0; step < 200 && !input_.empty() && !session_.closed(); ++step) {
      act();
      pump();
      check_counters();
    }
    finish();
  }

 private:
  struct Held {
    std::unique_ptr<std::byte[]> extent;
    std::uint64_t bytes = 0;
    Level level{};
    bool pending = false;  ///< announced, not accepted yet
    bool whole = false;
  };

  void act() {
    switch (input_.below(12)) {
      case 0:
        return pass_time(input_.u16() * kMicrosecondNs);
      case 1:
        return send();
      case 2:
        if (!forger_.their_numbers.empty())
          session_.withdraw(static_cast<MessageNumber>(forger_.their_numbers[input_.below(
              static_cast<std::uint32_t>(forger_.their_numbers.size()))]));
        return;
      case 3:
        return accept_one();
      case 4:
        return release_one();
      case 5:
        return input_.flag() ? session_.ping() : honest_.exchange();
      case 6:
      case 7:
        return feed(forger_.mixed(input_));
      case 8:
        return feed(forger_.bulk(input_));
      case 9:
        return feed(forger_.raw(input_));
      case 10:
        return feed(forger_.honest_ack());
      default:
        return feed(input_.raw(input_.u8()));
    }
  }

  void pass_time(DurationNs duration) {
    now_ += duration;
    if (session_.next_deadline_ns() > now_) return;
    session_.on_timer(now_, events_);
    handle();
  }

  void send() {
    static constexpr std::array<std::uint64_t, 6> kBytes{0, 10, 900, 2'000, 66'000, 300'000};
    OutgoingMessage message;
    message.header.id = {{7, input_.below(3) + 1}, 0, taken_ + 1};
    message.header.payload_bytes = kBytes[input_.below(6)];
    message.header.level = static_cast<Level>(input_.below(3));
    message.header.service = input_.flag() ? "service" : "";
    if (input_.below(4) == 0) {
      message.header.flags = wire::kReply;
      message.header.in_reply_to = {{1, 1}, 0, 1};
    }
    message.payload = payload().data();
    message.cookie = taken_;
    MessageNumber number{};
    if (session_.send(message, number) != SendVerdict::kTaken) return;
    ++taken_;
    outcomes_.push_back(0);
    forger_.their_numbers.push_back(static_cast<std::uint32_t>(number));
    if (forger_.their_numbers.size() > 16)
      forger_.their_numbers.erase(forger_.their_numbers.begin());
  }

  void accept_one() {
    for (auto& [number, held] : held_)
      if (held.pending) {
        held.pending = false;
        held.extent = std::make_unique<std::byte[]>(held.bytes);
        return session_.accept(static_cast<MessageNumber>(number), held.extent.get());
      }
  }

  void release_one() {
    for (auto at = held_.begin(); at != held_.end(); ++at)
      if (at->second.whole) return release(at);
  }
  void release(std::map<std::uint32_t, Held>::iterator at) {
    const auto number = static_cast<MessageNumber>(at->first);
    if (at->second.level != Level::kNone) session_.settle(number, Ending::kDone, Reason::kNone);
    session_.release(number);
    held_.erase(at);
  }

  void feed(std::span<const std::byte> packet) {
    now_ += kMicrosecondNs;
    // A copy of exactly its size, so that a sanitizer sees one byte too many.
    const std::vector<std::byte> exact(packet.begin(), packet.end());
    ++fed_;
    session_.on_packet(now_, exact, events_);
    handle();
  }

  void handle() {
    RW_CHECK(events_.size() <= EventBatch::kMaxEvents);
    for (const Event& event : events_.all()) {
      const auto number = static_cast<std::uint32_t>(event.number);
      switch (event.kind) {
        case EventKind::kMessage: {
          RW_CHECK(event.payload.size() == event.header.payload_bytes);
          std::uint64_t sum = 0;
          for (const std::byte at : event.payload) sum += static_cast<std::uint64_t>(at);
          for (const std::byte at : event.header.key) sum += static_cast<std::uint64_t>(at);
          for (const char at : event.header.service) sum += static_cast<unsigned char>(at);
          sum_ = sum;
          Held held;
          held.level = event.header.level;
          held.whole = true;
          RW_CHECK(held_.emplace(number, std::move(held)).second);
          break;
        }
        case EventKind::kOpen: {
          RW_CHECK(event.announced == (event.header.payload_bytes > kUnscheduledBytes));
          if (event.header.payload_bytes > kTooLargeBytes) {
            session_.refuse(event.number, Reason::kTooLarge);
            refused_.insert(number);
            break;
          }
          Held held;
          held.bytes = event.header.payload_bytes;
          held.level = event.header.level;
          held.pending = event.announced;
          if (!held.pending) {
            held.extent = std::make_unique<std::byte[]>(held.bytes);
            session_.accept(event.number, held.extent.get());
          }
          RW_CHECK(held_.emplace(number, std::move(held)).second);
          break;
        }
        case EventKind::kComplete: {
          Held& held = held_.at(number);
          RW_CHECK(!held.whole);
          RW_CHECK(!held.pending);
          held.whole = true;
          break;
        }
        case EventKind::kWithdrawn: {
          const auto at = held_.find(number);
          // Opened and withdrawn by one frame: the refusal comes between the two events.
          RW_CHECK(at != held_.end() || refused_.contains(number));
          if (at == held_.end()) break;
          session_.settle(event.number, Ending::kFailed, Reason::kCancelled);
          session_.release(event.number);
          held_.erase(at);
          break;
        }
        case EventKind::kNeverCame:
          RW_CHECK(!held_.contains(number));
          RW_CHECK(event.header.predecessor < std::max<std::uint64_t>(event.header.id.sequence, 1));
          break;
        case EventKind::kRun: {
          RW_CHECK(wire::valid_run_body(event.payload, event.run.count, event.run.id.sequence));
          const std::uint32_t all = wire::run_mask(event.run.count);
          session_.settle_run(event.number, all & 0x5555'5555, Ending::kUnknown, Reason::kRefused);
          session_.release_run(event.number, all);
          break;
        }
        case EventKind::kRunWithdrawn:
          break;  // each was settled when it came
        case EventKind::kRunResult:
          RW_CHECK(false);  // none was sent
          break;
        case EventKind::kResult:
        case EventKind::kSent:
          RW_CHECK(event.cookie < outcomes_.size());
          RW_CHECK(++outcomes_[event.cookie] == 1);
          ++ended_;
          break;
        case EventKind::kCredit:
          break;
        case EventKind::kClosed:
          ++closed_events_;
          break;
      }
    }
  }

  void pump() {
    int packets = 0;
    while (const std::size_t bytes = session_.poll_transmit(now_, packet_)) {
      RW_CHECK(++packets <= static_cast<int>(kSentPackets));
      const auto frame = std::span<const std::byte>(packet_).first(bytes);
      RW_CHECK(bytes <= kPacketBytes);
      const auto header = wire::decode_frame_header(frame);
      RW_CHECK(header.has_value());
      RW_CHECK(header->connection_id == kId + 1);
      RW_CHECK(header->packet_number == forger_.their_newest_packet + 1);
      forger_.their_newest_packet = header->packet_number;
      RW_CHECK(wire::verify_clear(frame));
      const auto body = wire::sealed_part(frame).subspan(wire::kFrameHeaderBytes);
      if (session_.closed()) {
        ++close_frames_;
        RW_CHECK(body.size() == 2);
        RW_CHECK(static_cast<wire::ItemType>(body[0]) == wire::ItemType::kClose);
        RW_CHECK(static_cast<Reason>(body[1]) == Reason::kBadMessage);
      }
      // Each probe may go beyond: the first with two packets, later ones with a PING.
      RW_CHECK(session_.bytes_in_flight() <=
               kQueueBytes + 2 * kPacketBytes + 64 * session_.counters().probes_sent);
    }
  }

  void check_counters() {
    const SessionCounters& counters = session_.counters();
    RW_CHECK(counters.packets_received + counters.dropped_duplicate_packet +
                 counters.dropped_bad_packet + counters.dropped_malformed +
                 counters.dropped_early_fragment + counters.dropped_old_packet ==
             fed_);
    RW_CHECK(counters.dropped_malformed <= 1);
    RW_CHECK(session_.messages_open() == taken_ - ended_);
    if (counters.dropped_malformed == 1) {
      RW_CHECK(session_.closed());
      RW_CHECK(close_frames_ == 1);
    } else {
      RW_CHECK(close_frames_ == 0);
    }
  }

  void finish() {
    const bool was_closed = session_.closed();
    RW_CHECK(closed_events_ <= 1);
    for (int round = 0; !session_.close(events_); ++round) {
      RW_CHECK(round < 2);
      handle();
    }
    handle();
    RW_CHECK(closed_events_ == (was_closed ? 1 : 0));
    RW_CHECK(ended_ == taken_);
    RW_CHECK(session_.messages_open() == 0);
    // The dead one takes nothing more, and asks for nothing.
    RW_CHECK(!session_.on_packet(now_, forger_.honest_ack(), events_));
    RW_CHECK(session_.next_deadline_ns() == kNeverNs);
    honest_.exchange();
  }

  Input input_;
  Honest& honest_;
  Session session_;
  fuzz::Forger forger_;
  EventBatch events_;
  TimeNs now_ = 0;
  std::uint64_t fed_ = 0;
  std::uint32_t taken_ = 0;
  std::uint32_t ended_ = 0;
  int close_frames_ = 0;
  int closed_events_ = 0;
  std::uint64_t sum_ = 0;
  std::vector<std::uint8_t> outcomes_;  ///< by cookie: how many it had
  std::map<std::uint32_t, Held> held_;
  std::set<std::uint32_t> refused_;
  std::array<std::byte, kPacketBytes> packet_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // One pair for all stories: making it costs more than most of them.
  static Honest honest;
  Story(Input(data, size), honest).tell();
  return 0;
}
