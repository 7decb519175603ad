#include "engine/wire/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"

namespace ringwire::wire {
namespace {

std::vector<std::byte> random_bytes(Random& random, std::size_t bytes) {
  std::vector<std::byte> data(bytes);
  for (auto& at : data) at = static_cast<std::byte>(random.next());
  return data;
}

// W-5. Values of RFC 3720 appendix B.4 and the check value of the usual catalogues.
TEST(Crc32c, gives_the_published_values) {
  EXPECT_EQ(crc32c(0, as_bytes("123456789")), 0xe3069283U);
  EXPECT_EQ(crc32c(0, std::vector<std::byte>(32)), 0x8a9136aaU);
  EXPECT_EQ(crc32c(0, std::vector<std::byte>(32, std::byte{0xff})), 0x62a8ab43U);
  std::vector<std::byte> ascending(32);
  for (std::size_t at = 0; at < 32; ++at) ascending[at] = static_cast<std::byte>(at);
  EXPECT_EQ(crc32c(0, ascending), 0x46dd794eU);
  EXPECT_EQ(crc32c(0, {}), 0U);
}

TEST(Crc32c, all_ways_agree_and_copy_exactly) {
  Random random(1);
  for (int round = 0; round < 10'000; ++round) {
    const auto source = random_bytes(random, random.below(round % 100 == 0 ? 10'000 : 700));
    const std::size_t cut = random.below(source.size() + 1);
    const auto head = std::span(source).first(cut);
    const auto tail = std::span(source).subspan(cut);
    const std::uint32_t expected = portable_crc32c(0, source);
    ASSERT_EQ(crc32c(0, source), expected);
    ASSERT_EQ(crc32c(crc32c(0, head), tail), expected);
    ASSERT_EQ(portable_crc32c(portable_crc32c(0, head), tail), expected);
    ASSERT_EQ(instruction_crc32c(instruction_crc32c(0, head), tail), expected);
    std::vector<std::byte> target(source.size() + 1, std::byte{0x5a});
    ASSERT_EQ(copy_with_crc32c(crc32c(0, head), target.data(), tail), expected);
    ASSERT_TRUE(std::ranges::equal(std::span(target).first(tail.size()), tail));
    ASSERT_EQ(target[tail.size()], std::byte{0x5a});
  }
}

TEST(Crc32c, sees_every_single_bit) {
  Random random(2);
  auto data = random_bytes(random, 4'000);
  const std::uint32_t before = crc32c(0, data);
  for (std::size_t bit = 0; bit < data.size() * 8; bit += 7) {
    data[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    ASSERT_NE(crc32c(0, data), before);
    data[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
  }
}

}  // namespace
}  // namespace ringwire::wire
