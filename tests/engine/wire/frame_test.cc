#include "engine/wire/frame.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace ringwire::wire {
namespace {

std::vector<std::byte> sealed_frame() {
  std::vector<std::byte> frame(kFrameOverheadBytes + 5, std::byte{7});
  encode_frame_header({FrameKind::kMixed, 0x1122334455667788, 42}, frame);
  seal_clear(frame);
  return frame;
}

// W-1: the layout, byte by byte
TEST(Frame, has_the_documented_layout) {
  const auto frame = sealed_frame();
  const std::uint8_t expected[] = {0x11, 0,    0,  0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
                                   0x22, 0x11, 42, 0, 0,    0,    0,    0,    0,    0};
  for (std::size_t at = 0; at < sizeof expected; ++at)
    EXPECT_EQ(frame[at], static_cast<std::byte>(expected[at])) << at;
  for (std::size_t at = frame.size() - 12; at < frame.size(); ++at)
    EXPECT_EQ(frame[at], std::byte{0});
}

// W-2
TEST(Frame, decodes_what_was_encoded) {
  Random random(1);
  for (int round = 0; round < 10'000; ++round) {
    const FrameHeader header{random.chance(0.5) ? FrameKind::kMixed : FrameKind::kBulk,
                             random.next(), random.between(1, kMaxPacketNumber)};
    std::vector<std::byte> frame(kFrameOverheadBytes);
    encode_frame_header(header, frame);
    const auto decoded = decode_frame_header(frame);
    ASSERT_TRUE(decoded.has_value());
    ASSERT_EQ(decoded->kind, header.kind);
    ASSERT_EQ(decoded->connection_id, header.connection_id);
    ASSERT_EQ(decoded->packet_number, header.packet_number);
  }
}

// W-2
TEST(Frame, refuses_what_is_not_ours) {
  struct Row {
    const char* what;
    std::size_t at;
    std::uint8_t value;
  };
  for (const Row& row :
       {Row{"version 0", 0, 0x01}, Row{"version 2", 0, 0x21}, Row{"kind 0", 0, 0x10},
        Row{"kind 3", 0, 0x13}, Row{"flags", 1, 2}, Row{"reserved", 2, 1}, Row{"reserved", 3, 0x80},
        Row{"packet number 0", 12, 0}, Row{"packet number 2^62", 19, 0x40}}) {
    auto frame = sealed_frame();
    frame[row.at] = static_cast<std::byte>(row.value);
    EXPECT_FALSE(decode_frame_header(frame).has_value()) << row.what;
  }
  const auto frame = sealed_frame();
  EXPECT_TRUE(decode_frame_header(std::span(frame).first(kFrameOverheadBytes)).has_value());
  EXPECT_FALSE(decode_frame_header(std::span(frame).first(kFrameOverheadBytes - 1)).has_value());
  EXPECT_FALSE(decode_frame_header({}).has_value());
}

// W-5
TEST(Frame, verifies_only_unchanged) {
  auto frame = sealed_frame();
  EXPECT_TRUE(verify_clear(frame));
  for (std::size_t at = 0; at < frame.size(); ++at) {
    frame[at] ^= std::byte{0x10};
    EXPECT_FALSE(verify_clear(frame)) << at;
    frame[at] ^= std::byte{0x10};
  }
}

}  // namespace
}  // namespace ringwire::wire
