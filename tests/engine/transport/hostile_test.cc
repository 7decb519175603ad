// What a well-sealed lie does to a session: it closes exactly when a rule is broken, and no bytes,
// however damaged, do more.
#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "tests/engine/transport/attacker.h"

namespace ringwire::transport {
namespace {

// Slot 1, generation 1.
constexpr std::uint32_t kNumber = kSlots + 1;

struct Attack {
  const char* what;
  std::function<std::vector<std::byte>(Attacker&)> packet;
  bool closes;
};

class Hostile : public ::testing::TestWithParam<Attack> {};

// W-7, W-60: each rule that a well-sealed packet can break, after an announced message of 200,000
// bytes was accepted as kNumber, an unscheduled one of 5,000 as kNumber + 1, and one message was
// sent.
TEST_P(Hostile, closes_exactly_when_a_rule_is_broken) {
  Attacker attacker;
  Victim victim;
  victim.send_something();
  ASSERT_TRUE(victim.feed(attacker.message(ItemType::kOpenAnnounced, kNumber + 1, 200'000)));
  ASSERT_TRUE(victim.feed(attacker.message(ItemType::kOpen, kNumber + 2, 5'000)));
  ASSERT_EQ(victim.opened(), 2U);
  victim.feed(GetParam().packet(attacker));
  EXPECT_EQ(victim.session().closed(), GetParam().closes);
  EXPECT_EQ(victim.session().counters().dropped_malformed, GetParam().closes ? 1U : 0U);
}

std::vector<std::byte> item(Attacker& attacker, std::initializer_list<int> bytes) {
  return attacker.mixed([&](ByteWriter& writer) {
    for (const int at : bytes) writer.u8(static_cast<std::uint8_t>(at));
  });
}

std::vector<std::byte> named_withdrawal(Attacker& attacker, const wire::NamedWithdrawItem& named) {
  return attacker.mixed([&](ByteWriter& writer) { wire::encode_named_withdraw(writer, named); });
}

// A varint of two bytes.
constexpr int low(std::uint32_t value) { return static_cast<int>(value & 0x7f) | 0x80; }
constexpr int high(std::uint32_t value) { return static_cast<int>(value >> 7); }
constexpr std::uint32_t kAnnounced = kNumber + 1;
constexpr std::uint32_t kOpened = kNumber + 2;
// The victim's own first message: slot 0, generation 1.
constexpr std::uint32_t kTheirs = kSlots;

INSTANTIATE_TEST_SUITE_P(
    Rules, Hostile,
    ::testing::Values(
        Attack{"padding only", [](Attacker& a) { return item(a, {0, 0, 0}); }, false},
        Attack{"empty body", [](Attacker& a) { return item(a, {}); }, false},
        Attack{"unknown item", [](Attacker& a) { return item(a, {11}); }, true},
        Attack{"ack of what was sent", [](Attacker& a) { return item(a, {1, 1, 0, 1, 0}); }, false},
        Attack{"ack of what was never sent",
               [](Attacker& a) { return item(a, {1, 100, 0, 1, 0}); }, true},
        Attack{"two acks in one frame",
               [](Attacker& a) { return item(a, {1, 1, 0, 1, 0, 1, 1, 0, 1, 0}); }, true},
        Attack{"truncated ack", [](Attacker& a) { return item(a, {1, 1, 0}); }, true},
        Attack{"grant for a message never sent",
               [](Attacker& a) { return item(a, {5, low(kTheirs + 9), high(kTheirs + 9), 1}); },
               true},
        Attack{"grant for a message that is not announced",
               [](Attacker& a) { return item(a, {5, low(kTheirs), high(kTheirs), 1}); }, true},
        Attack{"credit", [](Attacker& a) { return item(a, {6, 1, 20, 0}); }, false},
        Attack{"credit for an unknown class", [](Attacker& a) { return item(a, {6, 64, 20, 0}); },
               true},
        Attack{"more credit than slots", [](Attacker& a) { return item(a, {6, 1, 0x81, 8, 0}); },
               true},
        Attack{"result",
               [](Attacker& a) { return item(a, {7, low(kTheirs), high(kTheirs), 12, 0}); },
               false},
        Attack{"result with a reason that only an end of session gives",
               [](Attacker& a) { return item(a, {7, low(kTheirs), high(kTheirs), 12, 12}); },
               true},
        Attack{"result for a message never sent",
               [](Attacker& a) {
                 return item(a, {7, low(kTheirs + 9), high(kTheirs + 9), 12, 0});
               },
               true},
        Attack{"result that says nothing",
               [](Attacker& a) { return item(a, {7, low(kTheirs), high(kTheirs), 0, 0}); }, true},
        Attack{"fragment", [](Attacker& a) { return a.bulk(kOpened, 0, 1'152); }, false},
        Attack{"last fragment", [](Attacker& a) { return a.bulk(kOpened, 4, 392); }, false},
        Attack{"last fragment too long", [](Attacker& a) { return a.bulk(kOpened, 4, 393); }, true},
        Attack{"fragment too short", [](Attacker& a) { return a.bulk(kOpened, 0, 1'151); }, true},
        Attack{"fragment beyond the end", [](Attacker& a) { return a.bulk(kOpened, 5, 1'152); },
               true},
        Attack{"fragment whose offset overflows",
               [](Attacker& a) { return a.bulk(kOpened, ~std::uint64_t{0} / 1'152 + 1, 1'152); },
               true},
        Attack{"fragment without payload", [](Attacker& a) { return a.bulk(kOpened, 0, 0); }, true},
        Attack{"granted fragment", [](Attacker& a) { return a.bulk(kAnnounced, 100, 1'152); },
               false},
        Attack{"fragment of a message not opened",
               [](Attacker& a) { return a.bulk(kNumber + 9, 0, 1'152); }, false},
        Attack{"fragment of an older message", [](Attacker& a) { return a.bulk(1, 0, 1'152); },
               false},
        Attack{"message", [](Attacker& a) { return a.message(ItemType::kMessage, kNumber, 10); },
               false},
        Attack{"repeated open",
               [](Attacker& a) { return a.message(ItemType::kOpen, kOpened, 5'000); }, false},
        Attack{"slot not released",
               [](Attacker& a) {
                 return a.message(ItemType::kMessage, kOpened + kSlots, 10);
               },
               true},
        Attack{"announced but short",
               [](Attacker& a) { return a.message(ItemType::kOpenAnnounced, kNumber, 5'000); },
               true},
        Attack{"announced larger than any memory",
               [](Attacker& a) {
                 return a.message(ItemType::kOpenAnnounced, kNumber, ~std::uint64_t{0} - 9);
               },
               true},
        Attack{"long but not announced",
               [](Attacker& a) { return a.message(ItemType::kOpen, kNumber, 65'537); }, true},
        Attack{"opened without payload",
               [](Attacker& a) { return a.message(ItemType::kOpen, kNumber, 0); }, true},
        // W-40
        Attack{"more bytes than the window",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   wire::MessageHeader header;
                   header.payload_bytes = kUnscheduledBytes;
                   for (std::uint32_t at = 0; at < 3; ++at)
                     wire::encode_message(writer, ItemType::kOpen, kNumber + 10 + at, header,
                                          {{}, {1, true}, {}});
                 });
               },
               true},
        Attack{"more messages than the window",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   for (std::uint32_t at = 0; at <= initial_window_messages(kSlots); ++at)
                     wire::encode_message(writer, ItemType::kMessage, kSlots + 30 + at * 3,
                                          {}, {{}, {2, at == 0}, {}});
                 });
               },
               true},
        Attack{"undefined service handle",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   wire::encode_message(writer, ItemType::kMessage, kNumber, {},
                                        {{}, {9, false}, {}});
                 });
               },
               true},
        Attack{"service handle out of range",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   wire::encode_message(writer, ItemType::kMessage, kNumber, {},
                                        {{}, {64, true}, {}});
                 });
               },
               true},
        Attack{"service handle defined twice",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   wire::MessageHeader header;
                   header.service = "other";
                   wire::encode_message(writer, ItemType::kMessage, kNumber, header,
                                        {{}, {1, true}, {}});
                 });
               },
               true},
        Attack{"undefined attachment handle",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   wire::encode_message(writer, ItemType::kMessage, kNumber, {},
                                        {{7, false}, {1, true}, {}});
                 });
               },
               true},
        Attack{"attachment handle out of range",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   wire::encode_message(writer, ItemType::kMessage, kNumber, {},
                                        {{kAttachmentHandles + 1, true}, {1, true}, {}});
                 });
               },
               true},
        Attack{"withdrawal of what never came",
               [](Attacker& a) { return item(a, {8, low(kNumber), high(kNumber)}); }, false},
        Attack{"withdrawal of a newer one in a slot not released",
               [](Attacker& a) {
                 return item(a, {8, low(kOpened + kSlots), high(kOpened + kSlots)});
               },
               true},
        Attack{"named withdrawal of what never came",
               [](Attacker& a) { return named_withdrawal(a, {kNumber, {}, {{7, 1}, 0, 9}, 8}); },
               false},
        Attack{"named withdrawal of a newer one in a slot not released",
               [](Attacker& a) {
                 return named_withdrawal(a, {kOpened + kSlots, {}, {{7, 1}, 0, 9}, 8});
               },
               true},
        Attack{"named withdrawal by a handle that was never defined",
               [](Attacker& a) {
                 return named_withdrawal(a, {kNumber, {1, false}, {{7, 1}, 0, 9}, 8});
               },
               true},
        Attack{"named withdrawal of a first message with an elder",
               [](Attacker& a) { return named_withdrawal(a, {kNumber, {}, {{7, 1}, 0, 0}, 3}); },
               true},
        Attack{"named withdrawal of one whose elder is before the first",
               [](Attacker& a) {  // 10 before the sequence 9
                 return named_withdrawal(a, {kNumber, {}, {{7, 1}, 0, 9}, ~std::uint64_t{0}});
               },
               true},
        Attack{"truncated named withdrawal", [](Attacker& a) { return item(a, {14, 5, 0, 1}); },
               true},
        Attack{"as many items as may be",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   for (std::size_t at = 0; at < kMaxItemsPerFrame; ++at) writer.u8(9);
                 });
               },
               false},
        Attack{"too many items",
               [](Attacker& a) {
                 return a.mixed([](ByteWriter& writer) {
                   for (std::size_t at = 0; at < kMaxItemsPerFrame + 1; ++at) writer.u8(9);
                 });
               },
               true},
        Attack{"close with an unknown reason", [](Attacker& a) { return item(a, {10, 99}); },
               true}),
    [](const auto& row) {
      std::string name = row.param.what;
      std::ranges::replace_if(name, [](char at) { return !std::isalnum(at); }, '_');
      return name;
    });

// W-5, W-6: what is not sealed drops without a trace
TEST(HostileFuzz, damaged_packets_are_dropped_and_counted) {
  Random random(1);
  Attacker attacker;
  Victim victim;
  ASSERT_TRUE(victim.feed(attacker.message(ItemType::kOpen, kOpened, 5'000)));
  for (int round = 0; round < 20'000; ++round) {
    auto packet = random.chance(0.5) ? attacker.bulk(kOpened, random.below(4), 1'152)
                                     : attacker.message(ItemType::kMessage, kNumber, 10);
    packet[random.below(packet.size())] ^= static_cast<std::byte>(random.between(1, 255));
    ASSERT_FALSE(victim.feed(packet));
  }
  EXPECT_EQ(victim.session().counters().dropped_bad_packet, 20'000U);
  EXPECT_EQ(victim.session().counters().packets_received, 1U);
  EXPECT_FALSE(victim.session().closed());
}

struct Recorded {
  FrameKind kind{};
  std::vector<std::byte> body;
};

/// What one side of a lively conversation says.
std::vector<Recorded> record_conversation() {
  std::vector<Recorded> script;
  LinkConfig link;
  link.loss = 0.05;
  SessionConfig config;
  config.message_slots = kSlots;
  PairWorld world(1, link, config);
  world.tap = [&](std::size_t from, std::span<const std::byte> packet) {
    const auto body = wire::sealed_part(packet).subspan(wire::kFrameHeaderBytes);
    if (from == 0)
      script.push_back({wire::decode_frame_header(packet)->kind, {body.begin(), body.end()}});
    return true;
  };
  for (std::size_t index = 0; index < 200; ++index)
    world.plan(index % 2,
               {index % 10 == 0 ? index * 1'500 : index * 3, index % 3 == 0 ? "a" : "b"});
  EXPECT_TRUE(world.run([&] { return world.all_ended(0) && world.all_ended(1); }));
  return script;
}

void mutate(Random& random, std::vector<std::byte>& body) {
  if (random.chance(0.2)) {
    body.resize(random.below(body.size() + 1));
    return;
  }
  for (std::uint64_t change = random.between(1, 3); change > 0; --change) {
    // Mostly near the beginning, where the structure is; small values look like item types.
    const std::size_t reach = random.chance(0.5) ? 16 : body.size();
    body[random.below(std::min(body.size(), reach))] =
        static_cast<std::byte>(random.chance(0.5) ? random.below(256) : random.below(12));
  }
}

// W-60: a conversation, now and then changed, cut, repeated or skipped, and sealed again
TEST(HostileFuzz, well_sealed_nonsense_crashes_nothing) {
  const std::vector<Recorded> script = record_conversation();
  Random random(2);
  std::uint64_t mutated = 0;
  std::uint64_t taken = 0;
  std::uint64_t closed = 0;
  std::uint64_t whole = 0;
  while (mutated < 100'000) {
    Attacker attacker;
    Victim victim;
    // Sessions differ in how long they are treated well.
    const double rate = random.chance(0.5) ? 1.0 : 0.1;
    std::size_t at = 0;
    for (int step = 0; step < 2'000 && !victim.session().closed(); ++step) {
      if (random.chance(0.2)) victim.send_something();
      auto [kind, body] = script[at];
      if (random.chance(0.02)) {
        at = random.below(script.size());
      } else if (!random.chance(0.05)) {
        at = (at + 1) % script.size();
      }
      if (random.chance(rate) && !body.empty()) {
        ++mutated;
        mutate(random, body);
      }
      if (victim.feed(attacker.seal(kind, body))) ++taken;
    }
    if (victim.session().closed()) ++closed;
    whole += victim.whole;
  }
  EXPECT_GT(taken, 10'000U);
  EXPECT_GT(closed, 1'000U);
  EXPECT_GT(whole, 10'000U);
}

}  // namespace
}  // namespace ringwire::transport
