// Runs packet scripts: stories between one production session and a peer that the script plays, in
// virtual time. tests/scripts/README.md has the language. Usage: packet_scripts FILE... ; prints a
// line for each story and the counts that tests/count.py reads.
#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/transport/limits.h"
#include "engine/transport/session.h"
#include "engine/wire/frame.h"
#include "tests/scripts/items.h"
#include "tests/scripts/words.h"

namespace ringwire::scripts {
namespace {

using namespace transport;

constexpr std::uint64_t kOurId = 11;
constexpr std::uint64_t kPeerId = 22;

struct Sent {
  TimeNs at = 0;
  std::uint64_t number = 0;
  FrameText frame;
};

class Story {
 public:
  void line(const std::string& text) {
    Words words(text);
    if (words.empty()) return;
    if (words.take("session")) return configure(words);
    if (words.take("at")) advance(kStart + words.time());
    if (words.take("after")) advance(now_ + words.time());
    if (words.empty()) return;
    const std::string who = words.next();
    if (who == "peer") return peer(words);
    if (who == "host") return host(words);
    if (who == "expect") return expect(words);
    throw BadScript("who is '" + who + "'?");
  }

  void end() {
    if (!session_) throw BadScript("nothing happened");
    collect();
    if (!sent_.empty()) throw BadScript("not expected: " + text_of(sent_.front()));
    if (!events_.empty()) throw BadScript("not expected: event " + events_.front());
  }

 private:
  static constexpr TimeNs kStart = kSecondNs;

  Session& session() {
    if (!session_) {
      config_.local_connection_id = kOurId;
      config_.remote_connection_id = kPeerId;
      session_ = std::make_unique<Session>(config_, now_);
    }
    return *session_;
  }

  void configure(Words& words) {
    if (session_) throw BadScript("the session stands already");
    while (!words.empty()) {
      if (words.take("packet"))
        config_.max_packet_bytes = static_cast<std::uint32_t>(words.number());
      else if (words.take("slots"))
        config_.message_slots = static_cast<std::uint32_t>(words.number());
      else if (words.take("queue"))
        config_.peer_receive_queue_bytes = words.number();
      else
        throw BadScript("a session has no '" + words.next() + "'");
    }
  }

  // --- time ---

  void advance(TimeNs to) {
    if (to < now_) throw BadScript("time does not go back");
    collect();
    while (session().next_deadline_ns() <= to) {
      step_to(session().next_deadline_ns());
    }
    now_ = to;
    collect();
  }
  void step_to(TimeNs at) {
    // A deadline that has passed already is met a microsecond later, so that time goes on.
    now_ = std::max(now_ + (at <= now_ ? kMicrosecondNs : 0), at);
    session().on_timer(now_, batch_);
    note_events();
    collect();
  }

  void collect() {
    std::array<std::byte, 16'384> packet;
    while (const std::size_t bytes = session().poll_transmit(now_, packet)) {
      const auto frame = std::span<const std::byte>(packet).first(bytes);
      const auto header = wire::decode_frame_header(frame);
      if (!header || header->connection_id != kPeerId || !wire::verify_clear(frame))
        throw BadScript("the session sent what is no frame");
      const auto body = wire::sealed_part(frame).subspan(wire::kFrameHeaderBytes);
      const bool bulk = header->kind == wire::FrameKind::kBulk;
      sent_.push_back({now_, header->packet_number, read_items(body, bulk, config_.message_slots)});
    }
  }

  // --- the peer ---

  void peer(Words& words) {
    words.need("sends");
    session();
    if (words.take("raw")) return raw(words);
    std::uint64_t number = next_packet_;
    std::uint64_t connection = kOurId;
    bool damaged = false;
    if (words.take("packet")) number = words.number();
    if (words.take("damaged")) damaged = true;
    if (words.take("to-connection")) connection = words.number();
    words.need(":");
    next_packet_ = std::max(next_packet_, number + 1);
    std::array<std::byte, 70'000> frame;
    ByteWriter writer(std::span<std::byte>(frame).subspan(wire::kFrameHeaderBytes));
    const bool bulk = !words.empty() && write_items(words, writer, config_.message_slots,
                                                    fragment_bytes(config_.max_packet_bytes));
    words.end();
    const auto bytes =
        std::span<std::byte>(frame).first(writer.written_bytes() + wire::kFrameOverheadBytes);
    wire::encode_frame_header(
        {bulk ? wire::FrameKind::kBulk : wire::FrameKind::kMixed, connection, number}, bytes);
    wire::seal_clear(bytes);
    if (damaged) bytes[bytes.size() / 2] ^= std::byte{1};
    feed(bytes);
  }
  // A datagram of hexadecimal bytes, or of so many zeros.
  void raw(Words& words) {
    std::vector<std::byte> bytes;
    if (words.take("zeros")) bytes.resize(words.number());
    while (!words.empty())
      bytes.push_back(static_cast<std::byte>(std::stoul(words.next(), nullptr, 16)));
    feed(bytes);
  }
  void feed(std::span<const std::byte> bytes) {
    before_ = session().counters();
    taken_ = session().on_packet(now_, bytes, batch_);
    note_events();
  }

  // --- the host ---

  MessageNumber received(Words& words) {
    return static_cast<MessageNumber>(words.message_number(config_.message_slots));
  }

  void host(Words& words) {
    const std::string verb = words.next();
    if (verb == "sends") return send(words);
    if (verb == "pings") return session().ping();
    if (verb == "closes") {
      while (!session().close(batch_)) note_events();
      return note_events();
    }
    if (verb == "withdraws") return session().withdraw(numbers_.at(words.next()));
    const MessageNumber number = received(words);
    if (verb == "accepts") {
      auto& extent = extents_[static_cast<std::uint32_t>(number)];
      extent.resize(sizes_.at(static_cast<std::uint32_t>(number)));
      session().accept(number, extent.data());
    } else if (verb == "refuses") {
      session().refuse(number, words.reason());
    } else if (verb == "settles") {
      const Ending ending = words.ending();
      session().settle(number, ending, words.empty() ? Reason::kNone : words.reason());
    } else if (verb == "settles-of-run") {
      const auto bits = static_cast<std::uint32_t>(words.number());
      const Ending ending = words.ending();
      session().settle_run(number, bits, ending, words.empty() ? Reason::kNone : words.reason());
    } else if (verb == "releases-of-run") {
      session().release_run(number, static_cast<std::uint32_t>(words.number()));
    } else if (verb == "releases") {
      session().release(number);
    } else {
      throw BadScript("a host does not '" + verb + "'");
    }
    words.end();
  }

  void send(Words& words) {
    const std::string label = words.next();
    Outgoing& out = outgoing_[label];
    OutgoingMessage message;
    wire::MessageHeader& header = message.header;
    header.id = {{7, 7}, 0, outgoing_.size()};
    while (!words.empty() && words.peek() != ":") {
      const std::string word = words.next();
      if (word == "bytes") {
        header.payload_bytes = words.number();
      } else if (word == "to") {
        out.service = words.next();
      } else if (word == "by") {
        header.id.attachment = {7, words.number()};
      } else if (word == "level") {
        header.level = words.level();
      } else if (word == "priority") {
        header.priority = static_cast<std::uint8_t>(words.number());
      } else if (word == "flags") {
        header.flags = static_cast<std::uint16_t>(words.number());
      } else if (word == "reply") {
        header.flags |= wire::kReply;
        header.in_reply_to = {{8, 8}, 0, 1};
      } else if (word == "key") {
        out.key.assign(words.number(), 'k');
      } else {
        throw BadScript("a message has no '" + word + "'");
      }
    }
    out.payload.resize(std::min<std::uint64_t>(header.payload_bytes, 16u << 20));
    header.service = out.service;
    header.key = as_bytes(out.key);
    message.payload = out.payload.data();
    message.cookie = static_cast<std::uint32_t>(labels_.size());
    labels_.push_back(label);
    static constexpr std::array<std::string_view, 4> kVerdicts{"taken", "no-credit", "no-slot",
                                                               "closed"};
    const SendVerdict verdict = session().send(message, numbers_[label]);
    const std::string wanted = words.take(":") ? words.next() : "taken";
    words.end();
    const std::string_view got = kVerdicts[static_cast<std::size_t>(verdict)];
    if (got != wanted) throw BadScript("expected " + wanted + ", got " + std::string(got));
  }

  void note_events() {
    const auto number = [&](const Event& event) {
      const auto raw = static_cast<std::uint32_t>(event.number);
      return std::to_string(raw % config_.message_slots) + "." +
             std::to_string(raw / config_.message_slots);
    };
    for (const Event& event : batch_.all()) {
      switch (event.kind) {
        case EventKind::kMessage:
          events_.push_back("MESSAGE " + number(event) + " bytes " +
                            std::to_string(event.payload.size()) + service_text(event));
          break;
        case EventKind::kOpen:
          sizes_[static_cast<std::uint32_t>(event.number)] = event.header.payload_bytes;
          events_.push_back((event.announced ? "ANNOUNCED " : "OPEN ") + number(event) + " bytes " +
                            std::to_string(event.header.payload_bytes) + service_text(event));
          break;
        case EventKind::kComplete:
          events_.push_back("COMPLETE " + number(event) + content_text(event));
          break;
        case EventKind::kWithdrawn:
          events_.push_back("WITHDRAWN " + number(event));
          break;
        case EventKind::kNeverCame:
          events_.push_back("NEVER-CAME sequence " + std::to_string(event.header.id.sequence) +
                            " after " + std::to_string(event.header.predecessor));
          break;
        case EventKind::kResult:
          events_.push_back("RESULT " + labels_.at(event.cookie) + " " +
                            std::string(name_of(event.ending)) + " " +
                            std::string(name_of(event.reason)));
          break;
        case EventKind::kSent:
          events_.push_back("SENT " + labels_.at(event.cookie));
          break;
        case EventKind::kRun:
          events_.push_back("RUN " + number(event) + " of " + std::to_string(event.run.count));
          break;
        case EventKind::kRunWithdrawn:
          events_.push_back("WITHDRAWN " + number(event) + " bits " + std::to_string(event.mask));
          break;
        case EventKind::kRunResult:
          events_.push_back("RUN RESULT " + std::to_string(event.mask) + " failed " +
                            std::to_string(event.failed));
          break;
        case EventKind::kCredit:
          events_.emplace_back("CREDIT");
          break;
        case EventKind::kClosed:
          events_.emplace_back("CLOSED");
          break;
      }
    }
    batch_.clear();
  }
  static std::string service_text(const Event& event) {
    return event.header.service.empty() ? "" : " to " + std::string(event.header.service);
  }
  // Every byte of a fragment that a script sends is 0x70.
  std::string content_text(const Event& event) {
    const auto& extent = extents_.at(static_cast<std::uint32_t>(event.number));
    return std::ranges::all_of(extent, [](std::byte at) { return at == std::byte{0x70}; })
               ? " intact"
               : " damaged";
  }

  // --- what must happen ---

  void expect(Words& words) {
    if (words.take("nothing")) {
      if (words.take("for")) advance(now_ + words.time());
      words.end();
      collect();
      if (!sent_.empty()) throw BadScript("expected nothing, got " + text_of(sent_.front()));
      return;
    }
    if (words.take("event")) return expect_event(words);
    if (words.take("dropped")) return expect_dropped(words);
    if (words.take("taken")) {
      if (!taken_) throw BadScript("the packet was dropped");
      return words.end();
    }
    if (words.take("closed")) {
      if (!session().closed()) throw BadScript("the session is open");
      return words.end();
    }
    if (words.take("open")) {
      if (session().closed()) throw BadScript("the session is closed");
      return words.end();
    }
    if (words.take("in-flight")) {
      if (const auto most = words.number(); session().bytes_in_flight() > most)
        throw BadScript(std::to_string(session().bytes_in_flight()) + " bytes in flight");
      return words.end();
    }
    expect_packet(words);
  }

  static void append(std::string& line, const std::string& word) {
    if (!line.empty()) line.append(" ");
    line.append(word);
  }

  void expect_event(Words& words) {
    std::string wanted;
    while (!words.empty()) append(wanted, words.next());
    collect();
    if (events_.empty() && session().next_deadline_ns() <= now_) step_to(now_);
    if (events_.empty()) throw BadScript("expected event " + wanted + ", got none");
    FrameText got;
    got.items.push_back(events_.front());
    if (!matches({wanted}, got))
      throw BadScript("expected event " + wanted + ", got " + events_.front());
    events_.pop_front();
  }

  void expect_dropped(Words& words) {
    const std::string reason = words.next();
    words.end();
    const SessionCounters& after = session().counters();
    const std::map<std::string, std::uint64_t> grown{
        {"bad", after.dropped_bad_packet - before_.dropped_bad_packet},
        {"duplicate", after.dropped_duplicate_packet - before_.dropped_duplicate_packet},
        {"malformed", after.dropped_malformed - before_.dropped_malformed},
        {"early", after.dropped_early_fragment - before_.dropped_early_fragment},
        {"old", after.dropped_old_packet - before_.dropped_old_packet}};
    if (taken_) throw BadScript("the packet was taken in");
    for (const auto& [name, count] : grown)
      if (count != (name == reason ? 1U : 0U))
        throw BadScript("dropped as " + name + ": " + std::to_string(count));
  }

  void expect_packet(Words& words) {
    DurationNs within = 0;
    if (words.take("within")) within = words.time();
    std::uint64_t number = 0;
    if (words.take("packet")) number = words.number();
    words.take(":");
    std::vector<std::string> wanted(1);
    while (!words.empty()) {
      if (words.take(",")) {
        wanted.emplace_back();
        continue;
      }
      append(wanted.back(), words.next());
    }
    collect();
    const TimeNs limit = now_ + within;
    while (sent_.empty() && session().next_deadline_ns() <= limit)
      step_to(session().next_deadline_ns());
    if (sent_.empty()) throw BadScript("expected " + wanted[0] + ", got nothing");
    const Sent got = sent_.front();
    sent_.pop_front();
    if (got.at > limit || !matches(wanted, got.frame) || (number != 0 && number != got.number))
      throw BadScript("expected " + wanted[0] + ", got " + text_of(got));
  }

  static std::string text_of(const Sent& sent) {
    std::string text = "packet " + std::to_string(sent.number) + " at " +
                       std::to_string((sent.at - kStart) / kMicrosecondNs) + "us:";
    for (const std::string& item : sent.frame.items) text.append(" ").append(item).append(",");
    text.pop_back();
    return text;
  }

  struct Outgoing {
    std::string service;
    std::string key;
    std::vector<std::byte> payload;
  };

  SessionConfig config_;
  std::unique_ptr<Session> session_;
  EventBatch batch_;
  TimeNs now_ = kStart;
  std::uint64_t next_packet_ = 1;
  bool taken_ = false;
  SessionCounters before_;
  std::deque<Sent> sent_;           ///< by the session, not yet expected
  std::deque<std::string> events_;  ///< not yet expected
  std::map<std::string, Outgoing> outgoing_;
  std::map<std::string, MessageNumber> numbers_;
  std::vector<std::string> labels_;  ///< by cookie
  std::map<std::uint32_t, std::uint64_t> sizes_;
  std::map<std::uint32_t, std::vector<std::byte>> extents_;
};

/// True when the story went as told. Tells the first line that did not.
bool run(const std::filesystem::path& path) {
  std::ifstream file(path);
  Story story;
  int line = 0;
  try {
    if (!file) throw BadScript("cannot be read");
    for (std::string text; std::getline(file, text);) {
      ++line;
      story.line(text);
    }
    story.end();
  } catch (const std::exception& problem) {
    std::printf("FAILED %s:%d: %s\n", path.c_str(), line, problem.what());
    return false;
  }
  std::printf("ok %s\n", path.filename().c_str());
  return true;
}

}  // namespace
}  // namespace ringwire::scripts

int main(int count, char** arguments) {
  int failed = 0;
  for (int at = 1; at < count; ++at)
    if (!ringwire::scripts::run(arguments[at])) ++failed;
  std::printf("%d passed, %d failed\n", count - 1 - failed, failed);
  return failed == 0 && count > 1 ? 0 : 1;
}
