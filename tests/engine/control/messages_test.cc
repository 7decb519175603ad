#include "engine/control/messages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/bytes.h"
#include "tests/engine/control/samples.h"

namespace ringwire::control {
namespace {

std::vector<std::byte> encoded(const Message& message) {
  std::vector<std::byte> out;
  encode(message, out);
  return out;
}

std::span<const std::byte> body_of(const std::vector<std::byte>& framed) {
  return std::span<const std::byte>(framed).subspan(kLengthBytes);
}

std::vector<Message> one_of_each() {
  return {sample_hello("a", 5),
          HelloRefuse{RefuseReason::kMembers, "no"},
          sample_sessions(2, 3, 100),
          Heartbeat{1, -5},
          HeartbeatAck{~0ULL, 77},
          Goodbye{GoodbyeReason::kRestart},
          NodeState{NodeCondition::kReturning, 12},
          PeerList{{{"b", sample_endpoint(1)}, {"c", sample_endpoint(2)}}},
          Challenge{3},
          ChallengeAnswer{4}};
}

TEST(Messages, each_comes_back_as_it_was) {
  for (const Message& message : one_of_each()) {
    const auto bytes = encoded(message);
    EXPECT_EQ(load_le<std::uint32_t>(bytes.data()), bytes.size() - kLengthBytes);
    const auto back = decode(body_of(bytes));
    ASSERT_TRUE(back.ok()) << message.index();
    EXPECT_EQ(back.value(), message) << message.index();
  }
}

// Written out: the layout is part of the protocol.
TEST(Messages, a_heartbeat_has_these_bytes) {
  const auto bytes = encoded(Heartbeat{0x0102, 3});
  const std::uint8_t expected[] = {18, 0, 0, 0, 4, 0, 2, 1, 0, 0, 0,
                                   0,  0, 0, 3, 0, 0, 0, 0, 0, 0, 0};
  ASSERT_EQ(bytes.size(), sizeof expected);
  for (std::size_t index = 0; index < bytes.size(); ++index)
    EXPECT_EQ(std::to_integer<std::uint8_t>(bytes[index]), expected[index]) << index;
}

TEST(Messages, a_hello_starts_with_the_protocols_name) {
  const auto bytes = encoded(sample_hello("a", 5));
  EXPECT_EQ(as_text(body_of(bytes).subspan(kTypeBytes, 8)), "RINGWIRE");
}

TEST(Messages, every_prefix_is_truncated_and_every_extension_is_trailing) {
  for (const Message& message : one_of_each()) {
    auto bytes = encoded(message);
    const auto body = body_of(bytes);
    for (std::size_t length = kTypeBytes; length < body.size(); ++length) {
      const auto cut = decode(body.first(length));
      ASSERT_FALSE(cut.ok()) << message.index() << " at " << length;
      EXPECT_EQ(cut.error(), MessageError::kTruncated) << message.index() << " at " << length;
    }
    bytes.push_back(std::byte{0});
    const auto longer = decode(body_of(bytes));
    if (std::holds_alternative<Hello>(message)) {
      EXPECT_TRUE(longer.ok());  // a later version may append
    } else {
      ASSERT_FALSE(longer.ok());
      EXPECT_EQ(longer.error(), MessageError::kTrailing);
    }
  }
}

TEST(Messages, lengths_and_types_outside_of_the_rules_are_errors) {
  std::vector<std::byte> bytes(kMaxMessageBytes + 1);
  EXPECT_EQ(decode(bytes).error(), MessageError::kTooLong);
  EXPECT_EQ(decode(std::span(bytes).first(1)).error(), MessageError::kTooShort);
  EXPECT_EQ(decode(std::span(bytes).first(2)).error(), MessageError::kUnknownType);
  bytes[0] = std::byte{11};
  EXPECT_EQ(decode(std::span(bytes).first(2)).error(), MessageError::kUnknownType);
}

struct BadRow {
  const char* name;
  Message message;
  std::size_t offset;  // in the body
  std::uint8_t value;
};

TEST(Messages, fields_outside_of_their_range_are_errors) {
  // Offsets of Hello: magic 0, versions 8 and 10, features 12, security 20, cluster name 21.
  const Hello hello = sample_hello("a", 5);
  const BadRow rows[] = {
      {"magic", hello, 0, 'r'},
      {"versions upside down", hello, 8, 9},
      {"security", hello, 20, 2},
      {"cluster name too long", hello, 21, 64},
      {"cluster name empty", hello, 21, 0},
      {"cluster name with a slash", hello, 23, '/'},
      {"role", hello, 64, 2},
      {"cluster kind", hello, 65, 2},
      {"no workers", hello, 90, 0},
      {"too many workers", hello, 90, 17},
      {"reason 0", HelloRefuse{RefuseReason::kSelf, "x"}, 0, 0},
      {"reason 16", HelloRefuse{RefuseReason::kSelf, "x"}, 0, 16},
      {"text with NUL", HelloRefuse{RefuseReason::kSelf, "x"}, 3, 0},
      {"text too long", HelloRefuse{RefuseReason::kSelf, "x"}, 2, 1},
      {"no own workers", sample_sessions(1, 1, 1), 0, 0},
      {"17 peer workers", sample_sessions(1, 1, 1), 1, 17},
      {"packets of 240 bytes", sample_sessions(1, 1, 1), 3, 0},
      {"connection id 0", sample_sessions(1, 1, 1), 6, 0},
      {"goodbye 0", Goodbye{GoodbyeReason::kDraining}, 0, 0},
      {"goodbye 3", Goodbye{GoodbyeReason::kDraining}, 0, 3},
      {"condition 0", NodeState{}, 0, 0},
      {"condition 7", NodeState{}, 0, 7},
      {"peers 513", PeerList{{{"b", sample_endpoint(1)}}}, 1, 2},
      {"peer without a name", PeerList{{{"b", sample_endpoint(1)}}}, 2, 0},
  };
  for (const BadRow& row : rows) {
    auto bytes = encoded(row.message);
    bytes[kLengthBytes + kTypeBytes + row.offset] = std::byte{row.value};
    const auto result = decode(body_of(bytes));
    ASSERT_FALSE(result.ok()) << row.name;
    EXPECT_EQ(result.error(), MessageError::kBadValue) << row.name;
  }
}

// Of a smaller packet or fewer slots no session can be made: an engine that took them would abort.
TEST(Messages, a_hello_offers_what_sessions_and_rings_can_be_made_of) {
  struct Row {
    std::uint32_t packet_bytes, slots, weight;
    Role role;
    bool good;
  };
  for (const Row& row :
       {Row{1'200, 128, 256, Role::kServer, true},
        Row{9'000, 65'536, 67'108'864, Role::kServer, true},
        Row{1'199, 128, 256, Role::kServer, false}, Row{0, 128, 256, Role::kServer, false},
        Row{1'200, 64, 256, Role::kServer, false}, Row{1'200, 131'072, 256, Role::kServer, false},
        Row{1'200, 128, 255, Role::kServer, false},
        Row{1'200, 128, 67'108'865, Role::kServer, false},
        Row{1'200, 128, 0, Role::kSlave, true}}) {
    Hello hello = sample_hello("a", 1);
    hello.max_packet_bytes = row.packet_bytes;
    hello.message_slots = row.slots;
    hello.weight = row.weight;
    hello.role = row.role;
    std::vector<std::byte> bytes;
    encode(hello, bytes);
    const auto decoded = decode(std::span<const std::byte>(bytes).subspan(kLengthBytes));
    EXPECT_EQ(decoded.ok(), row.good) << row.packet_bytes << " " << row.slots << " " << row.weight;
    if (!row.good) {
      EXPECT_EQ(decoded.error(), MessageError::kBadValue);
    }
  }
}

TEST(Messages, message_slots_of_a_hello_are_a_power_of_two_and_its_incarnation_is_not_empty) {
  Hello hello = sample_hello("a", 5);
  hello.message_slots = 3;
  EXPECT_EQ(decode(body_of(encoded(hello))).error(), MessageError::kBadValue);
  hello.message_slots = 0;
  EXPECT_EQ(decode(body_of(encoded(hello))).error(), MessageError::kBadValue);
  hello = sample_hello("a", 5);
  hello.incarnation = {};
  EXPECT_EQ(decode(body_of(encoded(hello))).error(), MessageError::kBadValue);
}

TEST(Messages, the_longest_peer_list_fits) {
  PeerList list;
  for (std::size_t count = 0; count < kMaxPeersPerList; ++count)
    list.peers.push_back({std::string(kMaxNameBytes, 'n'), sample_endpoint(1)});
  const auto bytes = encoded(list);
  EXPECT_LE(bytes.size(), kLengthBytes + kMaxMessageBytes);
  EXPECT_EQ(decode(body_of(bytes)).value(), Message{list});
}

TEST(Messages, any_bytes_give_a_message_that_encodes_to_itself_or_an_error) {
  std::mt19937_64 random(1);
  const auto samples = one_of_each();
  std::size_t decoded = 0;
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = encoded(samples[random() % samples.size()]);
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      bytes[kLengthBytes + random() % (bytes.size() - kLengthBytes)] =
          static_cast<std::byte>(random());
    if (random() % 4 == 0) bytes.resize(kLengthBytes + random() % (bytes.size() - kLengthBytes));
    const auto message = decode(body_of(bytes));
    if (!message.ok()) continue;
    ++decoded;
    const auto again = decode(body_of(encoded(message.value())));
    ASSERT_TRUE(again.ok());
    ASSERT_EQ(again.value(), message.value());
  }
  EXPECT_GT(decoded, 1'000U);
}

TEST(Messages, names_are_1_to_63_of_the_allowed_characters) {
  EXPECT_TRUE(is_valid_name("a"));
  EXPECT_TRUE(is_valid_name("A-z_0.9"));
  EXPECT_TRUE(is_valid_name(std::string(63, 'x')));
  EXPECT_FALSE(is_valid_name(""));
  EXPECT_FALSE(is_valid_name(std::string(64, 'x')));
  EXPECT_FALSE(is_valid_name("a b"));
  EXPECT_FALSE(is_valid_name("\xc3\xa4"));
}

TEST(Messages, each_reason_and_error_has_its_own_word) {
  std::vector<std::string_view> words;
  for (std::uint8_t reason = 1; reason <= kRefuseReasonCount; ++reason)
    words.push_back(name_of(RefuseReason{reason}));
  for (std::uint8_t error = 0; error <= static_cast<std::uint8_t>(MessageError::kBadValue); ++error)
    words.push_back(name_of(MessageError{error}));
  std::sort(words.begin(), words.end());
  EXPECT_EQ(std::adjacent_find(words.begin(), words.end()), words.end());
  EXPECT_EQ(std::count(words.begin(), words.end(), "unknown"), 0);
}

}  // namespace
}  // namespace ringwire::control
