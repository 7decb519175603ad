#include "engine/control/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/bytes.h"
#include "tests/engine/control/samples.h"

namespace ringwire::control {
namespace {

std::vector<std::byte> framed(std::span<const Message> messages) {
  std::vector<std::byte> out;
  for (const Message& message : messages) encode(message, out);
  return out;
}

std::vector<std::byte> raw(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

TEST(MessageStream, gives_the_same_messages_however_the_bytes_are_cut) {
  const std::vector<Message> sent = {sample_hello("a", 1), Heartbeat{1, 2},
                                     sample_sessions(2, 2, 9), Challenge{4},
                                     HelloRefuse{RefuseReason::kSelf, "text"}};
  const auto bytes = framed(sent);
  std::mt19937_64 random(1);
  for (int round = 0; round < 1'000; ++round) {
    MessageStream stream;
    std::vector<Message> got;
    for (std::span<const std::byte> rest = bytes; !rest.empty();) {
      const std::size_t piece = std::min<std::size_t>(1 + random() % 60, rest.size());
      ASSERT_EQ(stream.feed(rest.first(piece)), piece);
      rest = rest.subspan(piece);
      for (auto next = stream.next(); next.ok() && next.value(); next = stream.next())
        got.push_back(*next.value());
    }
    ASSERT_EQ(got, sent);
    ASSERT_EQ(stream.held_bytes(), 0U);
  }
}

TEST(MessageStream, never_holds_more_than_one_longest_message) {
  MessageStream stream;
  std::vector<std::byte> bytes(3 * kMaxMessageBytes, std::byte{0});
  store_le(bytes.data(), static_cast<std::uint32_t>(kMaxMessageBytes));
  EXPECT_EQ(stream.feed(bytes), kLengthBytes + kMaxMessageBytes);
  EXPECT_EQ(stream.feed(bytes), 0U);
  EXPECT_EQ(stream.held_bytes(), kLengthBytes + kMaxMessageBytes);
}

struct BadRow {
  const char* name;
  std::vector<std::byte> bytes;
  MessageError error;
};

TEST(MessageStream, garbage_ends_it_for_good_with_the_reason) {
  const BadRow rows[] = {
      {"length 65,537, nothing else", raw({1, 0, 1, 0}), MessageError::kTooLong},
      {"length 4 GiB - 1", raw({255, 255, 255, 255}), MessageError::kTooLong},
      {"length 1", raw({1, 0, 0, 0}), MessageError::kTooShort},
      {"length 0", raw({0, 0, 0, 0}), MessageError::kTooShort},
      {"type 0", raw({2, 0, 0, 0, 0, 0}), MessageError::kUnknownType},
      {"heartbeat without body", raw({2, 0, 0, 0, 4, 0}), MessageError::kTruncated},
      {"goodbye and more", raw({4, 0, 0, 0, 6, 0, 1, 1}), MessageError::kTrailing},
      {"goodbye 9", raw({3, 0, 0, 0, 6, 0, 9}), MessageError::kBadValue},
  };
  for (const BadRow& row : rows) {
    MessageStream stream;
    stream.feed(row.bytes);
    for (int again = 0; again < 2; ++again) {
      const auto next = stream.next();
      ASSERT_FALSE(next.ok()) << row.name;
      EXPECT_EQ(next.error(), row.error) << row.name;
      const auto good = framed(std::vector<Message>{Challenge{1}});
      EXPECT_EQ(stream.feed(good), good.size()) << row.name;  // swallowed
    }
    EXPECT_EQ(stream.held_bytes(), 0U) << row.name;
  }
}

TEST(MessageStream, waits_while_a_message_is_not_whole) {
  MessageStream stream;
  const auto bytes = framed(std::vector<Message>{Challenge{1}});
  stream.feed(std::span(bytes).first(bytes.size() - 1));
  const auto next = stream.next();
  ASSERT_TRUE(next.ok());
  EXPECT_FALSE(next.value().has_value());
}

}  // namespace
}  // namespace ringwire::control
