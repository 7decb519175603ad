#include "engine/transport/message_numbers.h"

#include <gtest/gtest.h>

namespace ringwire::transport {
namespace {

// W-10
TEST(MessageNumbers, hold_the_slot_below_and_the_generation_above) {
  const MessageNumbers numbers(4'096);
  EXPECT_EQ(numbers.number_of(5, 3), 3U * 4'096 + 5);
  EXPECT_EQ(numbers.slot_of(3U * 4'096 + 5), 5U);
  EXPECT_EQ(numbers.generation_of(3U * 4'096 + 5), 3U);
}

// W-10
TEST(MessageNumbers, generations_wrap_and_compare_serially) {
  const MessageNumbers numbers(65'536);
  EXPECT_EQ(numbers.next_generation(0xffff), 0U);
  EXPECT_EQ(numbers.next_generation(7), 8U);
  struct Row {
    std::uint32_t left;
    std::uint32_t right;
    int sign;
  };
  for (const Row& row : {Row{1, 0, 1}, Row{0, 1, -1}, Row{5, 5, 0}, Row{0, 0xffff, 1},
                         Row{0xffff, 0, -1}, Row{0x7fff, 0, 1}, Row{0x8001, 0, -1}}) {
    const std::int32_t order = numbers.compare(row.left, row.right);
    EXPECT_EQ(order > 0 ? 1 : order < 0 ? -1 : 0, row.sign) << row.left << " " << row.right;
  }
}

}  // namespace
}  // namespace ringwire::transport
