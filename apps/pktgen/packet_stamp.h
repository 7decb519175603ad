// What each packet of the generator begins with: 18 bytes, which is all that a frame of 64 bytes
// has room for (Ethernet 14, IPv4 20, UDP 8, check sequence 4). Little-endian.
//
//   0  magic u16    2  flow u16    4  sequence u48    10  time of sending, ns, u64
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/time.h"

namespace ringwire::pktgen {

inline constexpr std::size_t kStampBytes = 18;
inline constexpr std::uint16_t kStampMagic = 0x5057;
/// What a frame has around the payload over IPv4: headers and check sequence.
inline constexpr std::uint32_t kFrameOverheadBytes = 14 + 20 + 8 + 4;
/// What a frame costs on the wire beside its bytes: preamble 8 and gap 12 (IEEE 802.3).
inline constexpr std::uint32_t kWireGapBytes = 20;
/// 9,018: a jumbo frame of an MTU of 9,000.
inline constexpr std::uint32_t kMinFrameBytes = 64;
inline constexpr std::uint32_t kMaxFrameBytes = 9'018;
static_assert(kMinFrameBytes - kFrameOverheadBytes == kStampBytes);

struct PacketStamp {
  std::uint16_t flow = 0;
  std::uint64_t sequence = 0;  ///< of the flow, from 0; below 2^48
  TimeNs sent_ns = 0;          ///< by the sender's CLOCK_MONOTONIC
};

inline void write_stamp(std::byte* to, const PacketStamp& stamp) {
  store_le<std::uint16_t>(to, kStampMagic);
  store_le<std::uint16_t>(to + 2, stamp.flow);
  store_le<std::uint32_t>(to + 4, static_cast<std::uint32_t>(stamp.sequence & 0xffff'ffff));
  store_le<std::uint16_t>(to + 8, static_cast<std::uint16_t>(stamp.sequence >> 32 & 0xffff));
  store_le<std::uint64_t>(to + 10, static_cast<std::uint64_t>(stamp.sent_ns));
}

/// Nothing when the packet is not the generator's.
[[nodiscard]] inline std::optional<PacketStamp> read_stamp(std::span<const std::byte> packet) {
  if (packet.size() < kStampBytes || load_le<std::uint16_t>(packet.data()) != kStampMagic)
    return std::nullopt;
  PacketStamp stamp;
  stamp.flow = load_le<std::uint16_t>(packet.data() + 2);
  stamp.sequence = load_le<std::uint32_t>(packet.data() + 4) |
                   std::uint64_t{load_le<std::uint16_t>(packet.data() + 8)} << 32;
  stamp.sent_ns = static_cast<TimeNs>(load_le<std::uint64_t>(packet.data() + 10));
  return stamp;
}

}  // namespace ringwire::pktgen
