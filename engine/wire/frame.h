// The outermost layer of what travels: one frame is one UDP payload, a header of 20 bytes, a body,
// and a tag field of 16 bytes (docs/wire.md W-1 to W-6). In clear mode the tag is a CRC32C; the
// room is that of an AEAD tag, so that both modes have the same lengths. Any thread; hot.
//
//    0        1        2        4                       12                      20
//    +--------+--------+--------+-----------------------+-----------------------+------ - - -
//    -+-----+ |ver|kind| flags  |   0    |     connection id     |     packet number     |     body
//    | tag |
//    +--------+--------+--------+-----------------------+-----------------------+------ - - -
//    -+-----+
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "engine/wire/crc32c.h"

namespace ringwire::wire {

inline constexpr std::size_t kFrameHeaderBytes = 20;
inline constexpr std::size_t kFrameTagBytes = 16;  ///< AEAD tags of TLS 1.3 suites are 16 bytes
inline constexpr std::size_t kFrameOverheadBytes = kFrameHeaderBytes + kFrameTagBytes;
/// Body of a bulk frame before its payload: u32 message number, u64 fragment index.
inline constexpr std::size_t kBulkHeaderBytes = 12;
inline constexpr std::uint8_t kWireVersion = 1;
/// Packet numbers stay below 2^62, so that sums of two of them cannot overflow.
inline constexpr std::uint64_t kMaxPacketNumber = (std::uint64_t{1} << 62) - 1;

/// Flag: the sender can send no more until this is acknowledged, or has no more (W-20).
inline constexpr std::uint8_t kAckNow = 1;

enum class FrameKind : std::uint8_t { kMixed = 1, kBulk = 2 };

struct FrameHeader {
  FrameKind kind{};
  std::uint64_t connection_id = 0;
  std::uint64_t packet_number = 0;
  bool ack_now = false;
};

/// Write a frame header. `frame` has at least kFrameHeaderBytes bytes.
inline void encode_frame_header(const FrameHeader& header, std::span<std::byte> frame) {
  store_le<std::uint8_t>(frame.data(), static_cast<std::uint8_t>(
                                           kWireVersion << 4 | static_cast<unsigned>(header.kind)));
  store_le<std::uint8_t>(frame.data() + 1, header.ack_now ? kAckNow : std::uint8_t{0});
  store_le<std::uint16_t>(frame.data() + 2, 0);
  store_le<std::uint64_t>(frame.data() + 4, header.connection_id);
  store_le<std::uint64_t>(frame.data() + 12, header.packet_number);
}

/// Read a frame header. Returns nothing when the bytes cannot be a frame of ours: too short,
/// another version or kind, bits set that are reserved, packet number out of range (W-2).
[[nodiscard]] inline std::optional<FrameHeader> decode_frame_header(
    std::span<const std::byte> frame) {
  if (frame.size() < kFrameOverheadBytes) return std::nullopt;
  const auto whole = load_le<std::uint32_t>(frame.data());
  const std::uint32_t first = whole & ~(std::uint32_t{kAckNow} << 8);
  if (first != (kWireVersion << 4 | static_cast<unsigned>(FrameKind::kMixed)) &&
      first != (kWireVersion << 4 | static_cast<unsigned>(FrameKind::kBulk)))
    return std::nullopt;
  FrameHeader header;
  header.kind = static_cast<FrameKind>(first & 0x0f);
  header.ack_now = whole != first;
  header.connection_id = load_le<std::uint64_t>(frame.data() + 4);
  header.packet_number = load_le<std::uint64_t>(frame.data() + 12);
  if (header.packet_number == 0 || header.packet_number > kMaxPacketNumber) return std::nullopt;
  return header;
}

/// Write the clear-mode tag of 16 bytes for a checksum over header and body (W-5).
inline void encode_clear_tag(std::uint32_t crc, std::byte* tag) {
  store_le<std::uint32_t>(tag, crc);
  store_le<std::uint32_t>(tag + 4, 0);
  store_le<std::uint64_t>(tag + 8, 0);
}

/// True when the 16 bytes are the clear-mode tag of this checksum.
[[nodiscard]] inline bool clear_tag_matches(std::uint32_t crc, const std::byte* tag) {
  return load_le<std::uint32_t>(tag) == crc && load_le<std::uint32_t>(tag + 4) == 0 &&
         load_le<std::uint64_t>(tag + 8) == 0;
}

/// Header and body of a frame of at least kFrameOverheadBytes.
[[nodiscard]] inline std::span<const std::byte> sealed_part(std::span<const std::byte> frame) {
  return frame.first(frame.size() - kFrameTagBytes);
}

/// Fill in the tag of a frame whose header and body stand already.
inline void seal_clear(std::span<std::byte> frame) {
  encode_clear_tag(crc32c(0, sealed_part(frame)), frame.data() + frame.size() - kFrameTagBytes);
}

/// True when the frame's tag is that of its header and body.
[[nodiscard]] inline bool verify_clear(std::span<const std::byte> frame) {
  return clear_tag_matches(crc32c(0, sealed_part(frame)),
                           frame.data() + frame.size() - kFrameTagBytes);
}

}  // namespace ringwire::wire
