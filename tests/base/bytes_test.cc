#include "base/bytes.h"

#include <array>

#include <gtest/gtest.h>

namespace ringwire {
namespace {

TEST(Bytes, decode_is_the_inverse_of_encode_at_every_varint_boundary) {
  for (unsigned shift = 0; shift < 64; ++shift) {
    for (const std::uint64_t value :
         {(1ULL << shift) - 1, 1ULL << shift, (1ULL << shift) + 1, ~0ULL >> shift}) {
      std::array<std::byte, 10> buffer{};
      ByteWriter writer(buffer);
      writer.varint(value);
      ASSERT_TRUE(writer.ok());
      EXPECT_EQ(writer.written_bytes(), varint_bytes(value));
      ByteReader reader(writer.written());
      EXPECT_EQ(reader.varint(), value);
      EXPECT_TRUE(reader.ok());
      EXPECT_TRUE(reader.at_end());
    }
  }
}

TEST(Bytes, refuses_a_varint_of_more_than_64_bits) {
  const std::array<std::uint8_t, 10> raw{0xff, 0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0x02};
  ByteReader reader(std::as_bytes(std::span(raw)));
  EXPECT_EQ(reader.varint(), 0U);
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, refuses_a_varint_with_a_needless_final_zero) {
  const std::array<std::uint8_t, 2> raw{0x81, 0x00};
  ByteReader reader(std::as_bytes(std::span(raw)));
  EXPECT_EQ(reader.varint(), 0U);
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, a_reader_past_its_end_yields_zeros_and_stays_bad) {
  const std::array<std::byte, 3> raw{std::byte{1}, std::byte{2}, std::byte{3}};
  ByteReader reader(raw);
  EXPECT_EQ(reader.u32(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0U);
  EXPECT_TRUE(reader.view(0).empty());
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, a_writer_without_room_writes_nothing_more) {
  std::array<std::byte, 3> raw{};
  ByteWriter writer(raw);
  writer.u16(0x0201);
  writer.u16(0x0403);
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(writer.written_bytes(), 2U);
  EXPECT_EQ(raw[2], std::byte{0});
}

}  // namespace
}  // namespace ringwire
