// Runs between two sessions: many small messages under one number (docs/wire.md W-70 to W-77).
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"
#include "engine/transport/session.h"
#include "engine/wire/frame.h"
#include "engine/wire/run_codec.h"

namespace ringwire::transport {
namespace {

std::vector<std::byte> body_of(std::uint32_t count, std::uint32_t payload_bytes,
                               std::uint32_t step = 1) {
  std::vector<std::byte> body;
  for (std::uint32_t index = 0; index < count; ++index) {
    const std::size_t at = body.size();
    body.resize(at + wire::kRunEntryHeaderBytes + payload_bytes, static_cast<std::byte>(index));
    wire::put_run_entry(&body[at], {index * 7ULL, index * step,
                                    static_cast<std::uint16_t>(payload_bytes), 0, nullptr});
  }
  return body;
}

wire::RunHeader header_of(std::uint64_t first, std::uint32_t count,
                          Level level = Level::kProcessed) {
  wire::RunHeader header;
  header.id = {{5, 6}, 2, first};
  header.epoch = 3;
  header.generation = 1;
  header.count = count;
  header.level = level;
  return header;
}

/// Two sessions, and a line between them that loses, doubles and reorders.
struct Line {
  explicit Line(std::uint64_t seed = 1, double lossy = 0) : random(seed), loss(lossy) {
    for (std::size_t side = 0; side < 2; ++side) {
      SessionConfig config;
      config.local_connection_id = 10 + side;
      config.remote_connection_id = 11 - side;
      config.max_packet_bytes = 8'944;
      config.peer_receive_queue_bytes = 1 << 20;
      session[side] = std::make_unique<Session>(config, now);
    }
  }

  /// All events that come of what `side` has to say now.
  void carry(std::size_t side) {
    std::array<std::byte, 8'944> packet{};
    while (const std::size_t bytes = session[side]->poll_transmit(now, packet)) {
      if (random.chance(loss)) continue;
      const std::vector<std::byte> copy(packet.begin(),
                                        packet.begin() + static_cast<std::ptrdiff_t>(bytes));
      way[1 - side].push_back(copy);
      if (random.chance(loss)) way[1 - side].push_front(copy);
    }
    while (!way[1 - side].empty()) {
      const auto next = way[1 - side].front();
      way[1 - side].pop_front();
      session[1 - side]->on_packet(now, next, events);
      handle(1 - side);
    }
  }
  void step() {
    now += 50 * kMicrosecondNs;
    for (std::size_t side = 0; side < 2; ++side) {
      carry(side);
      if (session[side]->next_deadline_ns() > now) continue;
      session[side]->on_timer(now, events);
      handle(side);
    }
  }
  void handle(std::size_t side) {
    for (const Event& event : events.all()) seen[side].push_back(event), on_event(side, event);
  }
  /// Ends of messages by (cookie, index), and runs that arrived.
  void on_event(std::size_t side, const Event& event) {
    if (event.kind == EventKind::kRun) {
      arrived[side].push_back(event.number);
      arrived_counts.push_back(event.run.count);
    }
    if (event.kind != EventKind::kRunResult) return;
    for (std::uint32_t left = event.mask; left != 0; left &= left - 1) {
      const auto index = static_cast<std::uint32_t>(std::countr_zero(left));
      const bool failed = (event.failed >> index & 1) != 0;
      const Ending ending = !failed                     ? Ending::kDone
                            : event.failures != nullptr ? event.failures->ending[index]
                                                        : event.ending;
      const Reason reason = !failed                     ? Reason::kNone
                            : event.failures != nullptr ? event.failures->reason[index]
                                                        : event.reason;
      ends[{event.cookie, index}].push_back({ending, reason});
    }
  }

  Random random;
  double loss;
  TimeNs now = 0;
  std::unique_ptr<Session> session[2];
  std::deque<std::vector<std::byte>> way[2];
  EventBatch events;
  std::vector<Event> seen[2];
  std::vector<MessageNumber> arrived[2];
  std::vector<std::uint32_t> arrived_counts;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<std::pair<Ending, Reason>>> ends;
};

// W-70, W-71
TEST(Run, ArrivesAsItWasWritten) {
  Line line;
  const auto body = body_of(5, 64, 3);
  wire::RunHeader header = header_of(40, 5);
  header.flags = wire::kOrderNone;
  MessageNumber number{};
  ASSERT_EQ(line.session[0]->send_run(header, body, 9, number), SendVerdict::kTaken);
  std::array<std::byte, 8'944> packet{};
  const std::size_t bytes = line.session[0]->poll_transmit(0, packet);
  ASSERT_TRUE(line.session[1]->on_packet(0, std::span(packet).first(bytes), line.events));
  ASSERT_EQ(line.events.size(), 1U);
  const Event& event = line.events.all()[0];
  EXPECT_EQ(event.kind, EventKind::kRun);
  EXPECT_EQ(event.run.id, header.id);
  EXPECT_EQ(event.run.count, 5U);
  EXPECT_EQ(event.run.generation, 1U);
  EXPECT_EQ(event.run.flags, wire::kOrderNone);
  EXPECT_EQ(std::vector<std::byte>(event.payload.begin(), event.payload.end()), body);
  EXPECT_FALSE(event.waits);
}

// W-73: a run that overtakes the one that it names is told as such.
TEST(Run, SaysThatItOvertookAnother) {
  Line line;
  const auto body = body_of(2, 8);
  MessageNumber first{};
  MessageNumber second{};
  std::array<std::byte, 8'944> lost{};
  std::array<std::byte, 8'944> packet{};
  ASSERT_EQ(line.session[0]->send_run(header_of(1, 2), body, 1, first), SendVerdict::kTaken);
  const std::size_t lost_bytes = line.session[0]->poll_transmit(0, lost);
  for (const std::uint64_t sequence : {3ULL, 5ULL}) {
    wire::RunHeader header = header_of(sequence, 2);
    header.after = static_cast<std::uint32_t>(first);
    ASSERT_EQ(line.session[0]->send_run(header, body, 2, second), SendVerdict::kTaken);
    const std::size_t bytes = line.session[0]->poll_transmit(0, packet);
    ASSERT_TRUE(line.session[1]->on_packet(0, std::span(packet).first(bytes), line.events));
    ASSERT_EQ(line.events.size(), 1U);
    EXPECT_EQ(line.events.all()[0].waits, sequence == 3);
    ASSERT_TRUE(line.session[1]->on_packet(0, std::span(lost).first(lost_bytes), line.events) ||
                sequence == 5);
  }
}

// W-71
TEST(Run, BodyThatBreaksARuleIsRefused) {
  const auto valid = body_of(3, 8);
  EXPECT_TRUE(wire::valid_run_body(valid, 3, 1));
  EXPECT_FALSE(wire::valid_run_body(valid, 2, 1));
  EXPECT_FALSE(wire::valid_run_body(valid, 4, 1));
  EXPECT_FALSE(wire::valid_run_body(valid, 0, 1));
  EXPECT_FALSE(wire::valid_run_body(valid, 3, 0));
  EXPECT_FALSE(wire::valid_run_body(valid, 3, kMaxSequence));
  EXPECT_FALSE(wire::valid_run_body(std::span(valid).first(valid.size() - 1), 3, 1));
  EXPECT_FALSE(wire::valid_run_body(body_of(3, 8, 0), 3, 1));
  EXPECT_FALSE(wire::valid_run_body(body_of(1, wire::kMaxRunEntryBytes + 1), 1, 1));
  EXPECT_TRUE(wire::valid_run_body(body_of(1, wire::kMaxRunEntryBytes), 1, 1));
  EXPECT_TRUE(wire::valid_run_body(body_of(32, 0), 32, 1));
  EXPECT_FALSE(wire::valid_run_body(body_of(33, 0), 33, 1));
}

// W-72: a run charges each of its messages, and each gives its own back.
TEST(Run, CreditIsByMessage) {
  Line line;
  const auto body = body_of(32, 16);
  MessageNumber first{};
  MessageNumber second{};
  ASSERT_EQ(line.session[0]->send_run(header_of(1, 32), body, 0, first), SendVerdict::kTaken);
  const auto one = body_of(1, 16);
  EXPECT_EQ(line.session[0]->send_run(header_of(33, 1), one, 1, second), SendVerdict::kNoCredit);
  line.step();
  ASSERT_EQ(line.arrived[1].size(), 1U);
  line.session[1]->settle_run(line.arrived[1][0], 4, Ending::kDone, Reason::kNone);
  line.session[1]->release_run(line.arrived[1][0], 4);
  line.step();
  line.step();
  EXPECT_EQ(line.ends.size(), 1U);
  EXPECT_EQ(line.session[0]->send_run(header_of(33, 1), one, 1, second), SendVerdict::kTaken);
  EXPECT_EQ(line.session[0]->send_run(header_of(34, 1), one, 2, second), SendVerdict::kNoCredit);
}

// W-75, W-76: whatever is lost or doubled, each message ends once, as it was settled.
TEST(Run, EachMessageEndsOnce) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Line line(seed, seed % 3 == 0 ? 0 : 0.15);
    Random& random = line.random;
    std::uint32_t runs = 0;
    std::size_t messages = 0;
    std::vector<std::vector<std::byte>> bodies(200);
    std::vector<std::uint32_t> done;  // by arrival: bits that were settled
    for (int step = 0; step < 20'000; ++step) {
      if (runs < bodies.size()) {
        const auto count = static_cast<std::uint32_t>(1 + random.below(8));
        bodies[runs] = body_of(count, 24);
        MessageNumber number{};
        if (line.session[0]->send_run(header_of(messages + 1, count), bodies[runs], runs, number) ==
            SendVerdict::kTaken) {
          ++runs;
          messages += count;
        }
      }
      line.step();
      done.resize(line.arrived[1].size());
      for (std::size_t at = 0; at < done.size(); ++at) {
        const std::uint32_t mask = static_cast<std::uint32_t>(random.below(256)) & ~done[at] &
                                   wire::run_mask(line.arrived_counts[at]);
        if (random.below(3) != 0 || mask == 0) continue;
        done[at] |= mask;
        const bool refused = random.below(4) == 0;
        line.session[1]->settle_run(line.arrived[1][at], mask,
                                    refused ? Ending::kUnknown : Ending::kDone,
                                    refused ? Reason::kRefused : Reason::kNone);
        line.session[1]->release_run(line.arrived[1][at], mask);
      }
      if (runs == bodies.size() && line.session[0]->messages_open() == 0) break;
    }
    EXPECT_EQ(line.session[0]->messages_open(), 0U) << "seed " << seed;
    EXPECT_FALSE(line.session[0]->closed());
    EXPECT_FALSE(line.session[1]->closed());
    EXPECT_EQ(line.ends.size(), messages);
    for (const auto& [which, endings] : line.ends) {
      EXPECT_EQ(endings.size(), 1U) << "seed " << seed;
      EXPECT_TRUE(endings[0] == std::pair(Ending::kDone, Reason::kNone) ||
                  endings[0] == std::pair(Ending::kUnknown, Reason::kRefused));
    }
    EXPECT_EQ(line.arrived[1].size(), 200U) << "seed " << seed;  // W-11: each once
  }
}

// W-19: at level none the acknowledgement is the end.
TEST(Run, LevelNoneEndsWithItsArrival) {
  Line line;
  const auto body = body_of(3, 16);
  MessageNumber number{};
  ASSERT_EQ(line.session[0]->send_run(header_of(1, 3, Level::kNone), body, 7, number),
            SendVerdict::kTaken);
  for (int step = 0; step < 5; ++step) line.step();
  EXPECT_EQ(line.ends.size(), 3U);
  EXPECT_EQ(line.session[0]->messages_open(), 0U);
}

// W-77: what is asked back is told to who has it, once the run has come; what was settled is not.
TEST(Run, WithdrawalNamesMessages) {
  Line line;
  const auto body = body_of(4, 16);
  MessageNumber number{};
  ASSERT_EQ(line.session[0]->send_run(header_of(1, 4), body, 7, number), SendVerdict::kTaken);
  line.session[0]->withdraw_run(number, 0b0110);
  line.step();
  ASSERT_EQ(line.arrived[1].size(), 1U);
  line.session[1]->tag(number, 55);
  line.session[1]->settle_run(number, 0b0010, Ending::kDone, Reason::kNone);
  for (int step = 0; step < 5; ++step) line.step();
  const Event& last = line.seen[1].back();
  EXPECT_EQ(last.kind, EventKind::kRunWithdrawn);
  EXPECT_EQ(last.mask, 0b0100U);
  EXPECT_EQ(last.cookie, 55U);
  EXPECT_EQ(last.number, number);
}

// W-77: at once, so that none goes again by itself and comes before its elder is called back.
TEST(Run, IsCalledBackBeforeItsAcknowledgementCame) {
  Line line;
  const auto body = body_of(4, 16);
  MessageNumber number{};
  ASSERT_EQ(line.session[0]->send_run(header_of(1, 4), body, 7, number), SendVerdict::kTaken);
  line.carry(0);
  ASSERT_EQ(line.arrived[1].size(), 1U);
  line.session[0]->withdraw_run(number, 0b0110);
  line.carry(0);
  const Event& last = line.seen[1].back();
  EXPECT_EQ(last.kind, EventKind::kRunWithdrawn);
  EXPECT_EQ(last.mask, 0b0110U);
}

// W-77: who has not got the run forgets what was said of it, and is told again.
TEST(Run, IsCalledBackAgainWhenItHasCome) {
  Line line;
  const auto body = body_of(4, 16);
  MessageNumber number{};
  ASSERT_EQ(line.session[0]->send_run(header_of(1, 4), body, 7, number), SendVerdict::kTaken);
  std::array<std::byte, 8'944> lost{};
  ASSERT_NE(line.session[0]->poll_transmit(line.now, lost), 0U);
  line.session[0]->withdraw_run(number, 0b0110);
  line.carry(0);
  EXPECT_TRUE(line.seen[1].empty());
  EXPECT_EQ(line.session[1]->counters().packets_received, 1U);
  EXPECT_FALSE(line.session[1]->closed());
  const auto called_back = [&] {
    return !line.seen[1].empty() && line.seen[1].back().kind == EventKind::kRunWithdrawn;
  };
  for (int step = 0; step < 10'000 && !called_back(); ++step) line.step();
  ASSERT_TRUE(called_back());
  EXPECT_EQ(line.seen[1].back().mask, 0b0110U);
  EXPECT_EQ(line.arrived[1].size(), 1U);
}

TEST(Run, SessionThatEndsTellsWhatIsOpen) {
  Line line;
  const auto body = body_of(4, 16);
  MessageNumber number{};
  ASSERT_EQ(line.session[0]->send_run(header_of(1, 4), body, 7, number), SendVerdict::kTaken);
  line.step();
  line.session[1]->settle_run(number, 0b0001, Ending::kDone, Reason::kNone);
  line.step();
  line.step();
  ASSERT_EQ(line.ends.size(), 1U);
  EXPECT_TRUE(line.session[0]->close(line.events));
  line.handle(0);
  ASSERT_EQ(line.ends.size(), 4U);
  EXPECT_EQ((line.ends[{7, 0}]), (std::vector{std::pair(Ending::kDone, Reason::kNone)}));
  EXPECT_EQ((line.ends[{7, 3}]), (std::vector{std::pair(Ending::kUnknown, Reason::kSessionLost)}));
}

// W-60: a result for what is no run, or bits that it does not have, close the session.
TEST(Run, ResultOfNoRunClosesTheSession) {
  for (const std::uint32_t settled : {1U, 0b100U}) {
    Line line;
    const auto body = body_of(2, 16);
    MessageNumber number{};
    ASSERT_EQ(line.session[0]->send_run(header_of(1, 2), body, 7, number), SendVerdict::kTaken);
    line.step();
    std::array<std::byte, 200> packet{};
    const std::span<std::byte> all(packet);
    ByteWriter writer(all.subspan(wire::kFrameHeaderBytes));
    wire::encode_run_result(
        writer, {static_cast<std::uint32_t>(number) + (settled == 1 ? 1U : 0U), settled, 0, 0}, {});
    const auto frame = all.first(writer.written_bytes() + wire::kFrameOverheadBytes);
    wire::encode_frame_header({wire::FrameKind::kMixed, 10, 77, false}, frame);
    wire::seal_clear(frame);
    EXPECT_FALSE(line.session[0]->on_packet(line.now, frame, line.events));
    EXPECT_TRUE(line.session[0]->closed());
  }
}

}  // namespace
}  // namespace ringwire::transport
