#include "engine/wire/items.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace ringwire::wire {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

AckItem random_ack(Random& random) {
  AckItem ack;
  ack.delay_us = random.below(1'000'000);
  ack.count = random.between(1, kMaxAckRanges);
  std::uint64_t high = random.between(1'000'000, std::uint64_t{1} << 50);
  for (std::size_t index = 0; index < ack.count; ++index) {
    const std::uint64_t low = high - random.below(100);
    ack.ranges[index] = {low, high};
    high = low - random.between(2, 100);
  }
  return ack;
}

// W-21
TEST(Items, an_acknowledgement_survives_encoding) {
  Random random(1);
  for (int round = 0; round < 10'000; ++round) {
    const AckItem ack = random_ack(random);
    std::byte buffer[kMaxAckBytes];
    ByteWriter writer(buffer);
    encode_ack(writer, ack);
    ASSERT_TRUE(writer.ok());
    ByteReader reader(writer.written());
    ASSERT_EQ(reader.u8(), static_cast<std::uint8_t>(ItemType::kAck));
    AckItem decoded;
    ASSERT_TRUE(decode_ack(reader, decoded));
    ASSERT_TRUE(reader.at_end());
    ASSERT_EQ(decoded.count, ack.count);
    ASSERT_EQ(decoded.delay_us, ack.delay_us);
    for (std::size_t index = 0; index < ack.count; ++index) {
      ASSERT_EQ(decoded.ranges[index].low, ack.ranges[index].low);
      ASSERT_EQ(decoded.ranges[index].high, ack.ranges[index].high);
    }
  }
}

// W-21
TEST(Items, a_broken_acknowledgement_is_refused) {
  struct Row {
    const char* what;
    std::vector<std::byte> bytes;
    bool good;
  };
  const Row rows[] = {
      {"one packet", bytes_of({5, 0, 1, 0}), true},
      {"down to 1", bytes_of({5, 0, 1, 4}), true},
      {"down to 0", bytes_of({5, 0, 1, 5}), false},
      {"newest is 0", bytes_of({0, 0, 1, 0}), false},
      {"no range", bytes_of({5, 0, 0}), false},
      {"33 ranges", bytes_of({5, 0, 33}), false},
      {"second range", bytes_of({5, 0, 2, 0, 0, 2}), true},
      {"second range down to 0", bytes_of({5, 0, 2, 0, 0, 3}), false},
      {"second range below 0", bytes_of({5, 0, 2, 3, 0, 0}), false},
      {"gap too large", bytes_of({5, 0, 2, 0, 4, 0}), false},
      {"truncated", bytes_of({5, 0, 2, 0, 0}), false},
      {"long form of a number", bytes_of({5, 0, 1, 0x80, 0}), false},
  };
  for (const Row& row : rows) {
    ByteReader reader(row.bytes);
    AckItem ack;
    EXPECT_EQ(decode_ack(reader, ack), row.good) << row.what;
    EXPECT_EQ(reader.ok(), row.good) << row.what;
  }
}

// W-24 to W-28
TEST(Items, the_other_items_survive_encoding_in_their_largest_forms) {
  std::byte buffer[64];
  {
    ByteWriter writer{std::span(buffer).first(kMaxGrantBytes)};
    encode_grant(writer, {0xffff'ffff, ~std::uint64_t{0}});
    ASSERT_TRUE(writer.ok());
    ByteReader reader(writer.written().subspan(1));
    GrantItem grant;
    ASSERT_TRUE(decode_grant(reader, grant));
    EXPECT_EQ(grant.number, 0xffff'ffff);
    EXPECT_EQ(grant.fragments, ~std::uint64_t{0});
  }
  {
    ByteWriter writer{std::span(buffer).first(kMaxCreditBytes)};
    encode_credit(writer, {255, 0xffff'ffff, 0xffff'fffe});
    ASSERT_TRUE(writer.ok());
    ByteReader reader(writer.written().subspan(1));
    CreditItem credit;
    ASSERT_TRUE(decode_credit(reader, credit));
    EXPECT_EQ(credit.service, 255);
    EXPECT_EQ(credit.window_messages, 0xffff'ffff);
    EXPECT_EQ(credit.window_bytes, 0xffff'fffe);
  }
  for (unsigned code = 0; code < 3 * 4; ++code) {
    const ResultItem result{0xffff'ffff, (code & 1) != 0, (code & 2) != 0,
                            static_cast<Ending>(code / 4), Reason::kRequirement};
    ByteWriter writer{std::span(buffer).first(kMaxResultBytes)};
    encode_result(writer, result);
    ASSERT_TRUE(writer.ok());
    ByteReader reader(writer.written().subspan(1));
    ResultItem decoded;
    const bool says_something = result.settled || result.released;
    ASSERT_EQ(decode_result(reader, decoded), says_something);
    if (!says_something) continue;
    EXPECT_EQ(decoded.number, result.number);
    EXPECT_EQ(decoded.settled, result.settled);
    EXPECT_EQ(decoded.released, result.released);
    EXPECT_EQ(decoded.ending, result.ending);
    EXPECT_EQ(decoded.reason, result.reason);
  }
  {
    ByteWriter writer{std::span(buffer).first(kMaxWithdrawBytes)};
    encode_withdraw(writer, 0xffff'ffff);
    ASSERT_TRUE(writer.ok());
    ByteReader reader(writer.written().subspan(1));
    std::uint32_t number = 0;
    ASSERT_TRUE(decode_withdraw(reader, number));
    EXPECT_EQ(number, 0xffff'ffff);
  }
}

// W-27, W-29
TEST(Items, unknown_endings_and_reasons_are_refused) {
  for (const auto& row :
       {bytes_of({1, 7, 0}), bytes_of({1, 16 + 4, 0}), bytes_of({1, 4, 200}), bytes_of({1, 4})}) {
    ByteReader reader(row);
    ResultItem result;
    EXPECT_FALSE(decode_result(reader, result));
  }
  const auto unknown = bytes_of({200});
  ByteReader reader(unknown);
  Reason reason{};
  EXPECT_FALSE(decode_close(reader, reason));
}

TEST(Items, a_number_of_33_bits_is_refused_where_32_are_meant) {
  const auto bytes = bytes_of({0x80, 0x80, 0x80, 0x80, 0x10});
  ByteReader reader(bytes);
  EXPECT_EQ(varint32(reader), 0U);
  EXPECT_FALSE(reader.ok());
}

}  // namespace
}  // namespace ringwire::wire
