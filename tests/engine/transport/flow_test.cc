// When packets flow and when they are acknowledged, packet by packet between two sessions.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "engine/transport/limits.h"
#include "engine/transport/session.h"
#include "engine/wire/frame.h"

namespace ringwire::transport {
namespace {

constexpr std::uint32_t kPacket = 8'944;
constexpr std::uint64_t kLarge = 4 << 20;

struct Packet {
  std::vector<std::byte> bytes;
  [[nodiscard]] wire::FrameHeader header() const { return *wire::decode_frame_header(bytes); }
  [[nodiscard]] bool bulk() const { return header().kind == wire::FrameKind::kBulk; }
};

struct Side {
  Side(std::uint64_t local, std::uint64_t remote, std::uint64_t queue_bytes = 1 << 20)
      : session(SessionConfig{.local_connection_id = local,
                              .remote_connection_id = remote,
                              .max_packet_bytes = kPacket,
                              .peer_receive_queue_bytes = queue_bytes},
                0) {}
  Session session;
  EventBatch events;

  std::vector<Packet> send_all(TimeNs now) {
    std::vector<Packet> packets;
    std::array<std::byte, kPacket> buffer;
    while (const std::size_t bytes = session.poll_transmit(now, buffer))
      packets.push_back({{buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(bytes)}});
    return packets;
  }
  /// Numbers of the messages that the packet opened.
  std::vector<MessageNumber> take(TimeNs now, const Packet& packet, DurationNs waited_ns = 0) {
    std::vector<MessageNumber> opened;
    session.on_packet(now, packet.bytes, events, waited_ns);
    for (const Event& event : events.all())
      if (event.kind == EventKind::kOpen) opened.push_back(event.number);
    return opened;
  }
};

struct Flow : ::testing::Test {
  explicit Flow(std::uint64_t queue_bytes = 1 << 20) : sender(1, 2, queue_bytes) {}
  Side sender;
  Side receiver{2, 1};
  std::vector<std::byte> payload{kLarge, std::byte{0x5a}};
  std::vector<std::byte> extent = std::vector<std::byte>(kLarge);
  TimeNs now = kSecondNs;

  MessageNumber offer(std::uint64_t sequence, std::uint64_t bytes = kLarge) {
    OutgoingMessage message;
    message.header.id = {{1, 2}, 1, sequence};
    message.header.payload_bytes = bytes;
    message.header.level = Level::kProcessed;
    message.payload = payload.data();
    MessageNumber number{};
    EXPECT_EQ(sender.session.send(message, number), SendVerdict::kTaken);
    return number;
  }
  static std::size_t bulk_count(const std::vector<Packet>& packets) {
    return static_cast<std::size_t>(
        std::count_if(packets.begin(), packets.end(), [](const Packet& at) { return at.bulk(); }));
  }
};

// W-52: nothing is under way and nothing waits, so that no silence of the peer means anything.
TEST_F(Flow, what_was_lost_and_is_not_wanted_any_more_leaves_nothing_unanswered) {
  const auto exchange = [this] {
    for (const Packet& packet : sender.send_all(now))
      for (const MessageNumber number : receiver.take(now, packet))
        receiver.session.accept(number, extent.data());
    for (const Packet& packet : receiver.send_all(now)) sender.take(now, packet);
    now += 100'000;
    if (sender.session.next_deadline_ns() <= now) sender.session.on_timer(now, sender.events);
    if (receiver.session.next_deadline_ns() <= now) receiver.session.on_timer(now, receiver.events);
  };
  const MessageNumber number = offer(1);
  exchange();
  ASSERT_GT(bulk_count(sender.send_all(now)), 0U);  // and none arrives
  EXPECT_NE(sender.session.unanswered_since_ns(), kNeverNs);
  sender.session.withdraw(number);
  for (int step = 0; step < 1'000; ++step) exchange();
  EXPECT_EQ(sender.session.bytes_in_flight(), 0U);
  EXPECT_EQ(sender.session.unanswered_since_ns(), kNeverNs);
}

constexpr std::uint64_t kShortQueue = 4 * kPacket;
struct StandStill : Flow {
  StandStill() : Flow(kShortQueue) {}
};

// W-50, W-52: who asks for a sign of life does so again and again, but with what fits there.
TEST_F(StandStill, probes_do_not_pass_the_receive_queue) {
  for (std::uint64_t sequence = 1; sequence <= 7; ++sequence) offer(sequence, 8'000);
  ASSERT_FALSE(sender.send_all(now).empty());
  std::vector<Packet> last;
  for (int count = 0; count < 200; ++count) {
    now = sender.session.next_deadline_ns();
    ASSERT_NE(now, kNeverNs);
    sender.session.on_timer(now, sender.events);
    auto packets = sender.send_all(now);
    if (!packets.empty()) last = std::move(packets);
    ASSERT_LE(sender.session.bytes_in_flight(), kShortQueue) << "after " << count << " deadlines";
  }
  EXPECT_GT(sender.session.counters().probes_sent, 100U);
  // It goes on again with any of them.
  for (const Packet& packet : last) receiver.take(now, packet);
  now += kSecondNs;
  const auto answers = receiver.send_all(now);
  ASSERT_FALSE(answers.empty());
  for (const Packet& packet : answers) sender.take(now, packet);
  EXPECT_FALSE(sender.send_all(now).empty());
}

/// A stream of small messages, each in a packet of its own and settled as soon as it is there.
struct Stream : Flow {
  void pass_one() {
    offer(++sequence, 64);
    for (const Packet& packet : sender.send_all(now)) {
      receiver.session.on_packet(now, packet.bytes, receiver.events);
      for (const Event& event : receiver.events.all())
        if (event.kind == EventKind::kMessage)
          receiver.session.settle(event.number, Ending::kDone, Reason::kNone);
    }
  }
  std::uint64_t sequence = 0;
};

// W-27
TEST_F(Stream, the_result_of_a_lone_message_goes_as_soon_as_a_turn_brings_nothing) {
  pass_one();
  EXPECT_TRUE(receiver.send_all(now).empty());
  EXPECT_EQ(receiver.session.next_deadline_ns(), now + kResultPatienceNs);
  now += 300;
  EXPECT_EQ(receiver.send_all(now).size(), 1U);
}

// W-27
TEST_F(Stream, results_wait_for_each_other_while_packets_come_but_not_for_long) {
  const TimeNs first = now;
  for (std::uint32_t count = 0; count + 2 < kAckEveryMixed; ++count, now += 300) {
    pass_one();
    EXPECT_TRUE(receiver.send_all(now).empty());
  }
  now = first + kResultPatienceNs;
  pass_one();
  ASSERT_EQ(receiver.send_all(now).size(), 1U);  // with all results
  EXPECT_TRUE(receiver.send_all(now += kResultPatienceNs).empty());
}

// W-20
TEST_F(Flow, bulk_packets_are_acknowledged_by_the_sixteen_or_when_their_sender_waits) {
  offer(1, 64 * 1024);  // unscheduled: 8 fragments
  auto packets = sender.send_all(now);
  while (!packets.empty() && !packets.back().bulk()) packets.pop_back();
  const std::size_t bulk = bulk_count(packets);
  ASSERT_GT(bulk, 2U);
  ASSERT_LT(bulk, kAckEveryBulk - kAckEveryBulk / kAckEveryMixed);
  for (std::size_t at = 0; at < packets.size(); ++at) {
    for (const MessageNumber number : receiver.take(now, packets[at]))
      receiver.session.accept(number, extent.data());
    const bool last = at + 1 == packets.size();
    EXPECT_EQ(packets[at].header().ack_now, last);
    EXPECT_EQ(receiver.send_all(now).empty(), !last) << at;
  }
}

// W-20
TEST_F(Flow, small_messages_ask_for_an_acknowledgement_when_the_window_is_full) {
  Side narrow{3, 4, 3 * kPacket};
  const auto offered = [&](std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t sequence = first; sequence <= last; ++sequence) {
      OutgoingMessage message;
      message.header.id = {{1, 2}, 1, sequence};
      message.header.payload_bytes = 5'000;
      message.header.level = Level::kProcessed;
      message.payload = payload.data();
      MessageNumber number{};
      ASSERT_EQ(narrow.session.send(message, number), SendVerdict::kTaken);
    }
  };
  offered(1, 2);
  for (const Packet& packet : narrow.send_all(now)) EXPECT_FALSE(packet.header().ack_now);
  offered(3, 20);
  const auto packets = narrow.send_all(now);
  ASSERT_FALSE(packets.empty());
  EXPECT_TRUE(packets.back().header().ack_now);
}

// W-50
TEST_F(Flow, what_lay_in_the_hosts_queues_is_no_congestion) {
  offer(1);
  std::vector<MessageNumber> opened;
  const DurationNs lay = 20 * kMillisecondNs;
  for (int round = 0; round < 30; ++round) {
    now += 100'000;
    const auto there = sender.send_all(now);
    now += 50'000 + lay;
    for (const Packet& packet : there)
      for (const MessageNumber number : receiver.take(now, packet, lay))
        receiver.session.accept(number, extent.data());
    const auto back = receiver.send_all(now + kLazyNs);
    now += 50'000 + kLazyNs + lay;
    for (const Packet& packet : back) sender.take(now, packet, lay);
  }
  EXPECT_GT(sender.session.counters().packets_sent, 200U);
  EXPECT_EQ(sender.session.counters().congestion_events, 0U);
}

// W-50
TEST_F(Flow, the_same_delay_on_the_path_is) {
  offer(1);
  DurationNs lay = 0;
  for (int round = 0; round < 30; ++round) {
    now += 100'000;
    const auto there = sender.send_all(now);
    now += 50'000 + lay;
    for (const Packet& packet : there)
      for (const MessageNumber number : receiver.take(now, packet))
        receiver.session.accept(number, extent.data());
    const auto back = receiver.send_all(now + kLazyNs);
    now += 50'000 + kLazyNs;
    for (const Packet& packet : back) sender.take(now, packet);
    if (round == 3) lay = 20 * kMillisecondNs;
  }
  EXPECT_GT(sender.session.counters().congestion_events, 0U);
}

// What is left in place is counted, and stands between the two parts of the packet.
TEST_F(Flow, payload_is_left_in_place_until_a_fragment_is_lost) {
  offer(1, 64 * 1024);
  std::array<std::byte, kPacket> buffer;
  std::size_t gathered = 0;
  while (true) {
    Gather gather;
    const std::size_t bytes = sender.session.poll_transmit(now, buffer, &gather);
    if (bytes == 0) break;
    Packet packet{{buffer.begin(),
                   buffer.begin() + static_cast<std::ptrdiff_t>(bytes - gather.bytes.size())}};
    packet.bytes.insert(packet.bytes.begin() + static_cast<std::ptrdiff_t>(gather.at_bytes),
                        gather.bytes.begin(), gather.bytes.end());
    if (!gather.bytes.empty()) ++gathered;
    // The first bulk packet is lost.
    if (packet.bulk() && gathered == 1) continue;
    for (const MessageNumber number : receiver.take(now, packet))
      receiver.session.accept(number, extent.data());
  }
  EXPECT_GT(gathered, 5U);
  EXPECT_EQ(receiver.session.counters().dropped_bad_packet, 0U);
  for (const Packet& packet : receiver.send_all(now + 100'000)) sender.take(now + 100'000, packet);
  sender.session.on_timer(now + kMillisecondNs, sender.events);
  std::size_t repeated = 0;
  Gather gather;
  while (sender.session.poll_transmit(now + kMillisecondNs, buffer, &gather) != 0) ++repeated;
  EXPECT_GE(repeated, 1U);
  EXPECT_TRUE(gather.bytes.empty());
}

// W-45
TEST_F(Flow, the_announced_message_with_the_least_left_goes_first) {
  offer(1, 3 << 20);
  offer(2, 400'000);
  offer(3, 2 << 20);
  std::map<std::uint32_t, std::uint64_t> bytes;  // by message number, of those still to come
  std::vector<std::uint64_t> ended;
  for (int round = 0; round < 2'000 && ended.size() < 3; ++round) {
    now += 100'000;
    for (const Packet& packet : sender.send_all(now)) {
      receiver.session.on_packet(now, packet.bytes, receiver.events);
      for (const Event& event : receiver.events.all()) {
        const auto number = static_cast<std::uint32_t>(event.number);
        if (event.kind == EventKind::kOpen) {
          bytes[number] = event.header.payload_bytes;
          receiver.session.accept(event.number, extent.data());
        }
        if (event.kind == EventKind::kComplete) ended.push_back(bytes[number]);
      }
    }
    for (const Packet& packet : receiver.send_all(now + kLazyNs))
      sender.take(now + kLazyNs, packet);
  }
  EXPECT_EQ(ended, (std::vector<std::uint64_t>{400'000, 2 << 20, 3 << 20}));
}

// W-54
TEST_F(Flow, a_path_that_swallows_large_frames_ends_the_session_for_smaller_ones) {
  offer(1);
  const TimeNs start = now;
  while (!sender.session.closed() && now < start + 2 * kSecondNs) {
    now += 100'000;
    for (Side* side : {&sender, &receiver}) {
      Side& other = side == &sender ? receiver : sender;
      if (side->session.next_deadline_ns() <= now) side->session.on_timer(now, side->events);
      for (const Packet& packet : side->send_all(now)) {
        if (packet.bytes.size() > 1'500) continue;
        for (const MessageNumber number : other.take(now, packet))
          other.session.accept(number, extent.data());
      }
    }
  }
  EXPECT_TRUE(sender.session.path_swallows_large());
  EXPECT_LT(now, start + kSecondNs);
  for (const Packet& packet : sender.send_all(now)) receiver.take(now, packet);
  EXPECT_TRUE(receiver.session.path_swallows_large());  // both ends take the next session smaller
}

}  // namespace
}  // namespace ringwire::transport
