// Ethernet, VLAN tag, IPv4 or IPv6, and UDP around a payload in an mbuf: built for a destination
// once and written for each packet; checked on the way in, checksums by the device where it can, by
// us where not. Knows rte_ names; for engine/port/dpdk_* only. Hot, except make_header().
#pragma once

#include <rte_ether.h>
#include <rte_mbuf.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/endpoint.h"
#include "engine/port/neighbours.h"
#include "engine/port/port.h"

namespace ringwire::port {

inline constexpr std::uint32_t kEthernetBytes = 14;
inline constexpr std::uint32_t kTagBytes = 4;
inline constexpr std::uint32_t kIpv4Bytes = 20;
inline constexpr std::uint32_t kIpv6Bytes = 40;
inline constexpr std::uint32_t kUdpBytes = 8;
inline constexpr std::uint32_t kMaxHeadersBytes =
    kEthernetBytes + kTagBytes + kIpv6Bytes + kUdpBytes;

/// What all frames of a device have in common.
struct FrameRules {
  EthernetAddress ethernet{};  ///< ours
  Endpoint local;              ///< ours; UDP port of worker 0
  std::uint32_t workers_count = 1;
  std::uint16_t vlan = 0;  ///< 0: no tag
  bool is_ipv4 = true;
  std::uint32_t ip_at_bytes = kEthernetBytes;
  std::uint32_t headers_bytes = 0;
  std::uint32_t max_payload_bytes = 0;
  bool tx_offload = false;  ///< the device fills in checksums
  /// Over IPv4 through shared memory (net_memif), where no bit is lost on the way and no device
  /// fills it in, the UDP checksum is left out, as RFC 768 lets a sender: the frame inside has a
  /// checksum or a tag of its own, and what arrives with one is checked all the same.
  bool omits_udp_checksum = false;
  /// The device hands on packets of a kernel on this host, which leaves the UDP checksum to a
  /// device that is not there (veth): the sum of the pseudo header stands in its place. The frame
  /// inside has a checksum or a tag of its own.
  bool takes_partial_checksums = false;
};

struct FrameHeader {
  std::array<std::byte, kMaxHeadersBytes> bytes{};
};

/// All that a header to `remote` from worker `worker` can have before the packet is known.
[[nodiscard]] FrameHeader make_header(const FrameRules& rules, std::uint32_t worker,
                                      const Endpoint& remote);
/// The header of a packet of `payload_bytes` that stands behind its room in `buffer`.
void write_header(const FrameRules& rules, const FrameHeader& header, const EthernetAddress& to,
                  std::uint16_t identification, std::uint32_t payload_bytes, rte_mbuf* buffer);

enum class FrameKind {
  kPayload,  ///< a UDP payload for a worker
  kOther,    ///< for the neighbours, perhaps
  kWrong,    ///< wrong, or not for us
};

struct FrameContent {
  FrameKind kind = FrameKind::kWrong;
  std::uint32_t worker = 0;
  RxPacket packet;
};

/// Look at a frame; takes a tag away. Reads nothing that the frame does not have.
[[nodiscard]] FrameContent read_frame(const FrameRules& rules, rte_mbuf* buffer);

}  // namespace ringwire::port
