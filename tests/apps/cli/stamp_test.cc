#include "apps/cli/stamp.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace ringwire::cli {
namespace {

std::vector<std::byte> stamped(std::size_t payload_bytes, const Stamp& stamp) {
  std::vector<std::byte> payload(payload_bytes);
  fill_payload(payload, stamp);
  write_stamp(payload, stamp);
  return payload;
}

TEST(Stamp, comes_back_as_it_was_written) {
  for (const std::size_t payload_bytes : {32U, 33U, 64U, 1'000U, 100'000U}) {
    const auto payload = stamped(payload_bytes, {.stream = 7, .sequence = 9});
    const CheckedStamp checked = check_stamp(payload);
    EXPECT_EQ(checked.verdict, StampVerdict::kIntact);
    EXPECT_EQ(checked.stamp.stream, 7U);
    EXPECT_EQ(checked.stamp.sequence, 9U);
  }
}

TEST(Stamp, needs_its_32_bytes) {
  std::vector<std::byte> payload(31, std::byte{5});
  EXPECT_FALSE(write_stamp(payload, {.stream = 1, .sequence = 1}));
  EXPECT_EQ(payload, std::vector<std::byte>(31, std::byte{5}));
  EXPECT_EQ(check_stamp(payload).verdict, StampVerdict::kUnstamped);
}

TEST(Stamp, tells_damage_in_any_byte_after_the_magic) {
  const auto intact = stamped(80, {.stream = 7, .sequence = 9});
  for (std::size_t at = 8; at < intact.size(); ++at) {
    auto damaged = intact;
    damaged[at] ^= std::byte{0x10};
    EXPECT_EQ(check_stamp(damaged).verdict, StampVerdict::kDamaged) << at;
  }
}

TEST(Stamp, tells_a_shortened_payload) {
  const auto intact = stamped(80, {.stream = 7, .sequence = 9});
  EXPECT_EQ(check_stamp(std::span(intact).first(79)).verdict, StampVerdict::kDamaged);
}

TEST(Stamp, leaves_the_payloads_of_others_alone) {
  EXPECT_EQ(check_stamp(std::vector<std::byte>(64)).verdict, StampVerdict::kUnstamped);
}

TEST(Payload, differs_from_message_to_message_and_from_word_to_word) {
  std::vector<std::byte> first(64);
  std::vector<std::byte> second(64);
  fill_payload(first, {.stream = 1, .sequence = 1});
  fill_payload(second, {.stream = 1, .sequence = 2});
  EXPECT_NE(first, second);
  const std::vector<std::byte> head(first.begin(), first.begin() + 8);
  const std::vector<std::byte> next(first.begin() + 8, first.begin() + 16);
  EXPECT_NE(head, next);
}

TEST(Payload, is_filled_to_its_last_byte) {
  std::vector<std::byte> whole(40);
  std::vector<std::byte> odd(37);
  fill_payload(whole, {.stream = 3, .sequence = 4});
  fill_payload(odd, {.stream = 3, .sequence = 4});
  whole.resize(37);
  EXPECT_EQ(odd, whole);
}

TEST(Question, is_told_from_everything_else) {
  std::array<std::byte, kQuestionBytes> question{};
  std::uint64_t stream = 0;
  EXPECT_FALSE(is_question(question, stream));
  write_question(question, 42);
  EXPECT_TRUE(is_question(question, stream));
  EXPECT_EQ(stream, 42U);
  EXPECT_FALSE(is_question(std::span(question).first(15), stream));
}

}  // namespace
}  // namespace ringwire::cli
