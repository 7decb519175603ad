#include "engine/port/dpdk_frame.h"

#include <rte_ip.h>
#include <rte_udp.h>

#include <cstring>

namespace ringwire::port {
namespace {

constexpr std::uint8_t kTimeToLive = 64;  // RFC 1700
/// What a UDP checksum computed over itself as well comes to when it is right: the complement of
/// all ones is zero, which for UDP is written as all ones (RFC 768). No packet sums up to zero, as
/// its protocol number does not, so nothing else comes to this.
constexpr std::uint16_t kChecksumHolds = 0xffff;

template <typename Header>
Header* header_at(rte_mbuf* buffer, std::uint32_t offset_bytes) {
  return rte_pktmbuf_mtod_offset(buffer, Header*, offset_bytes);
}

template <typename Header>
Header* header_at(FrameHeader& header, std::uint32_t offset_bytes) {
  return reinterpret_cast<Header*>(header.bytes.data() + offset_bytes);
}

/// What the device found out about a checksum. A device that says NONE vouches for the bytes.
enum class Checksum { kGood, kBad, kUnknown };

Checksum ip_checksum(const rte_mbuf* buffer) {
  const std::uint64_t flags = buffer->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  if (flags == RTE_MBUF_F_RX_IP_CKSUM_GOOD || flags == RTE_MBUF_F_RX_IP_CKSUM_NONE)
    return Checksum::kGood;
  return flags == RTE_MBUF_F_RX_IP_CKSUM_BAD ? Checksum::kBad : Checksum::kUnknown;
}

Checksum device_checksum(const rte_mbuf* buffer) {
  const std::uint64_t flags = buffer->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  if (flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD || flags == RTE_MBUF_F_RX_L4_CKSUM_NONE)
    return Checksum::kGood;
  return flags == RTE_MBUF_F_RX_L4_CKSUM_BAD ? Checksum::kBad : Checksum::kUnknown;
}

/// The Internet checksum over `bytes` from `data` on, added to `sum`; as DPDK's functions have it,
/// in network order. In steps of 32 bits, which sum up to the same as those of 16 (RFC 1071 2) and
/// which compilers turn into wide registers: over 9 KB it would else cost more than the copy of the
/// payload with its CRC.
std::uint16_t sum_of(const void* data, std::size_t bytes, std::uint32_t sum) {
  const auto* at = static_cast<const std::byte*>(data);
  std::uint64_t total = sum;
  const std::size_t words_bytes = bytes & ~std::size_t{3};
  for (const std::byte* end = at + words_bytes; at != end; at += 4) {
    std::uint32_t word;
    std::memcpy(&word, at, sizeof word);
    total += word;
  }
  if (const std::size_t rest_bytes = bytes - words_bytes; rest_bytes != 0) {
    std::uint32_t word = 0;
    std::memcpy(&word, at, rest_bytes);
    total += word;
  }
  total = (total >> 32) + (total & 0xffff'ffff);
  total = (total >> 16) + (total & 0xffff);
  total = (total >> 16) + (total & 0xffff);
  total = (total >> 16) + (total & 0xffff);
  return static_cast<std::uint16_t>(total);
}

/// What belongs into a UDP header that stands at `udp`, if there is 0 now; kChecksumHolds if it has
/// the right one. `pseudo`: the sum of the pseudo header.
std::uint16_t udp_checksum(const rte_udp_hdr* udp, std::size_t udp_bytes, std::uint16_t pseudo) {
  const auto checksum = static_cast<std::uint16_t>(~sum_of(udp, udp_bytes, pseudo));
  return checksum == 0 ? kChecksumHolds : checksum;
}

/// False when the tag is not ours. Afterwards the frame has none.
bool take_tag(const FrameRules& rules, rte_mbuf* buffer) {
  const bool is_stripped = (buffer->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0;
  if (!is_stripped && header_at<const rte_ether_hdr>(buffer, 0)->ether_type ==
                          rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN)) {
    if (buffer->data_len < kEthernetBytes + kTagBytes || rte_vlan_strip(buffer) != 0) return false;
  }
  const bool is_tagged = (buffer->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0;
  // Tag 0 is a priority without a network (IEEE 802.1Q).
  return (is_tagged ? buffer->vlan_tci & 0x0fff : 0) == rules.vlan;
}

/// The UDP header, whose length fits `ip_payload_bytes`, and worker's port.
bool read_udp(const FrameRules& rules, const rte_udp_hdr* udp, std::uint32_t ip_payload_bytes,
              FrameContent& content) {
  const std::uint32_t bytes = rte_be_to_cpu_16(udp->dgram_len);
  if (bytes <= kUdpBytes || bytes > ip_payload_bytes || bytes - kUdpBytes > rules.max_payload_bytes)
    return false;
  const std::uint32_t worker =
      static_cast<std::uint32_t>(rte_be_to_cpu_16(udp->dst_port)) - rules.local.port;
  if (worker >= rules.workers_count) return false;
  content.worker = worker;
  content.packet.source.port = rte_be_to_cpu_16(udp->src_port);
  content.packet.bytes = {reinterpret_cast<const std::byte*>(udp + 1), bytes - kUdpBytes};
  return true;
}

bool read_ipv4(const FrameRules& rules, rte_mbuf* buffer, FrameContent& content) {
  const auto* ip = header_at<const rte_ipv4_hdr>(buffer, kEthernetBytes);
  const auto* udp = header_at<const rte_udp_hdr>(buffer, kEthernetBytes + kIpv4Bytes);
  // No options (version 4, five words), no fragment.
  if (ip->version_ihl != RTE_IPV4_VHL_DEF) return false;
  const std::uint16_t fragment = rte_be_to_cpu_16(ip->fragment_offset);
  if ((fragment & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0) return false;
  if (std::memcmp(&ip->dst_addr, rules.local.address.data() + 12, 4) != 0) return false;
  const Checksum of_ip = ip_checksum(buffer);
  if (of_ip == Checksum::kBad || (of_ip == Checksum::kUnknown && rte_ipv4_cksum(ip) != 0))
    return false;
  const std::uint32_t total_bytes = rte_be_to_cpu_16(ip->total_length);
  if (total_bytes < kIpv4Bytes + kUdpBytes || total_bytes > buffer->data_len - kEthernetBytes)
    return false;
  if (!read_udp(rules, udp, total_bytes - kIpv4Bytes, content)) return false;
  content.packet.source.address[10] = 0xff;
  content.packet.source.address[11] = 0xff;
  std::memcpy(content.packet.source.address.data() + 12, &ip->src_addr, 4);
  const Checksum of_udp = device_checksum(buffer);
  if (of_udp != Checksum::kUnknown) return of_udp == Checksum::kGood;
  // RFC 768: a checksum of zero was not computed.
  if (udp->dgram_cksum == 0) return true;
  const std::uint16_t pseudo = rte_ipv4_phdr_cksum(ip, 0);
  return udp_checksum(udp, total_bytes - kIpv4Bytes, pseudo) == kChecksumHolds ||
         (rules.takes_partial_checksums && udp->dgram_cksum == pseudo);
}

bool read_ipv6(const FrameRules& rules, rte_mbuf* buffer, FrameContent& content) {
  const auto* ip = header_at<const rte_ipv6_hdr>(buffer, kEthernetBytes);
  const auto* udp = header_at<const rte_udp_hdr>(buffer, kEthernetBytes + kIpv6Bytes);
  if ((rte_be_to_cpu_32(ip->vtc_flow) >> 28) != 6) return false;
  if (std::memcmp(ip->dst_addr, rules.local.address.data(), 16) != 0) return false;
  const std::uint32_t payload_bytes = rte_be_to_cpu_16(ip->payload_len);
  if (payload_bytes < kUdpBytes || payload_bytes > buffer->data_len - kEthernetBytes - kIpv6Bytes)
    return false;
  if (!read_udp(rules, udp, payload_bytes, content)) return false;
  std::memcpy(content.packet.source.address.data(), ip->src_addr, 16);
  const Checksum of_udp = device_checksum(buffer);
  if (of_udp != Checksum::kUnknown) return of_udp == Checksum::kGood;
  // RFC 8200 8.1: over IPv6 the checksum is not optional.
  if (udp->dgram_cksum == 0) return false;
  const std::uint16_t pseudo = rte_ipv6_phdr_cksum(ip, 0);
  return udp_checksum(udp, payload_bytes, pseudo) == kChecksumHolds ||
         (rules.takes_partial_checksums && udp->dgram_cksum == pseudo);
}

}  // namespace

FrameHeader make_header(const FrameRules& rules, std::uint32_t worker, const Endpoint& remote) {
  FrameHeader header;
  auto* frame = header_at<rte_ether_hdr>(header, 0);
  std::memcpy(&frame->src_addr, rules.ethernet.data(), rules.ethernet.size());
  const std::uint16_t type =
      rte_cpu_to_be_16(rules.is_ipv4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
  frame->ether_type = type;
  if (rules.vlan != 0) {
    frame->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN);
    auto* tag = header_at<rte_vlan_hdr>(header, kEthernetBytes);
    tag->vlan_tci = rte_cpu_to_be_16(rules.vlan);
    tag->eth_proto = type;
  }
  if (rules.is_ipv4) {
    auto* ip = header_at<rte_ipv4_hdr>(header, rules.ip_at_bytes);
    ip->version_ihl = RTE_IPV4_VHL_DEF;
    ip->fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
    ip->time_to_live = kTimeToLive;
    ip->next_proto_id = IPPROTO_UDP;
    std::memcpy(&ip->src_addr, rules.local.address.data() + 12, 4);
    std::memcpy(&ip->dst_addr, remote.address.data() + 12, 4);
  } else {
    auto* ip = header_at<rte_ipv6_hdr>(header, rules.ip_at_bytes);
    ip->vtc_flow = rte_cpu_to_be_32(6U << 28);
    ip->proto = IPPROTO_UDP;
    ip->hop_limits = kTimeToLive;
    std::memcpy(ip->src_addr, rules.local.address.data(), 16);
    std::memcpy(ip->dst_addr, remote.address.data(), 16);
  }
  auto* udp = header_at<rte_udp_hdr>(header, rules.headers_bytes - kUdpBytes);
  udp->src_port = rte_cpu_to_be_16(static_cast<std::uint16_t>(rules.local.port + worker));
  udp->dst_port = rte_cpu_to_be_16(remote.port);
  return header;
}

void write_header(const FrameRules& rules, const FrameHeader& header, const EthernetAddress& to,
                  std::uint16_t identification, std::uint32_t payload_bytes, rte_mbuf* buffer) {
  buffer->data_len = static_cast<std::uint16_t>(rules.headers_bytes + payload_bytes);
  buffer->pkt_len = buffer->data_len;
  std::memcpy(header_at<std::byte>(buffer, 0), header.bytes.data(), rules.headers_bytes);
  std::memcpy(header_at<std::byte>(buffer, 0), to.data(), to.size());
  const auto udp_bytes = static_cast<std::uint16_t>(kUdpBytes + payload_bytes);
  auto* udp = header_at<rte_udp_hdr>(buffer, rules.headers_bytes - kUdpBytes);
  udp->dgram_len = rte_cpu_to_be_16(udp_bytes);
  buffer->ol_flags = 0;
  if (rules.tx_offload) {
    buffer->l2_len = rules.ip_at_bytes & 0x7f;
    buffer->l3_len = (rules.is_ipv4 ? kIpv4Bytes : kIpv6Bytes) & 0x1ff;
    buffer->ol_flags =
        RTE_MBUF_F_TX_UDP_CKSUM |
        (rules.is_ipv4 ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM : RTE_MBUF_F_TX_IPV6);
  }
  if (rules.is_ipv4) {
    auto* ip = header_at<rte_ipv4_hdr>(buffer, rules.ip_at_bytes);
    ip->total_length = rte_cpu_to_be_16(static_cast<std::uint16_t>(kIpv4Bytes + udp_bytes));
    ip->packet_id = rte_cpu_to_be_16(identification);
    if (!rules.tx_offload) ip->hdr_checksum = rte_ipv4_cksum(ip);
    if (rules.tx_offload)
      udp->dgram_cksum = rte_ipv4_phdr_cksum(ip, buffer->ol_flags);
    else if (!rules.omits_udp_checksum)
      udp->dgram_cksum = udp_checksum(udp, udp_bytes, rte_ipv4_phdr_cksum(ip, 0));
  } else {
    auto* ip = header_at<rte_ipv6_hdr>(buffer, rules.ip_at_bytes);
    ip->payload_len = rte_cpu_to_be_16(udp_bytes);
    udp->dgram_cksum = rules.tx_offload ? rte_ipv6_phdr_cksum(ip, buffer->ol_flags)
                                        : udp_checksum(udp, udp_bytes, rte_ipv6_phdr_cksum(ip, 0));
  }
}

FrameContent read_frame(const FrameRules& rules, rte_mbuf* buffer) {
  FrameContent content;
  if (buffer->data_len < kEthernetBytes || !take_tag(rules, buffer)) return content;
  const auto* frame = header_at<const rte_ether_hdr>(buffer, 0);
  const std::uint16_t type = rte_be_to_cpu_16(frame->ether_type);
  if (type != (rules.is_ipv4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6)) {
    if (rules.is_ipv4 && type == RTE_ETHER_TYPE_ARP) content.kind = FrameKind::kOther;
    return content;
  }
  const std::uint32_t ip_bytes = rules.is_ipv4 ? kIpv4Bytes : kIpv6Bytes;
  if (buffer->data_len < kEthernetBytes + ip_bytes + kUdpBytes) return content;
  const std::uint8_t protocol =
      rules.is_ipv4 ? header_at<const rte_ipv4_hdr>(buffer, kEthernetBytes)->next_proto_id
                    : header_at<const rte_ipv6_hdr>(buffer, kEthernetBytes)->proto;
  if (protocol != IPPROTO_UDP) {
    content.kind = FrameKind::kOther;
    return content;
  }
  if (std::memcmp(&frame->dst_addr, rules.ethernet.data(), rules.ethernet.size()) != 0)
    return content;
  if (rules.is_ipv4 ? read_ipv4(rules, buffer, content) : read_ipv6(rules, buffer, content))
    content.kind = FrameKind::kPayload;
  return content;
}

}  // namespace ringwire::port
