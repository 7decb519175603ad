#include "engine/port/neighbours.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ringwire::port {
namespace {

using Bytes = std::span<const std::byte>;
using Room = std::span<std::byte>;

// Offsets and sizes, from the standards named in the head comment.
constexpr std::size_t kEthernetBytes = 14;
constexpr std::size_t kArpBytes = 28;
constexpr std::size_t kIpv4Bytes = 20;
constexpr std::size_t kIpv6Bytes = 40;
constexpr std::size_t kEchoBytes = 8;
constexpr std::size_t kDiscoveryBytes = 24;  ///< solicitation or advertisement, without options
constexpr std::size_t kLinkOptionBytes = 8;
constexpr std::size_t kIcmpv6At = kEthernetBytes + kIpv6Bytes;

constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeArp = 0x0806;
constexpr std::uint16_t kTypeIpv6 = 0x86dd;
constexpr std::uint16_t kArpRequest = 1;
constexpr std::uint16_t kArpReply = 2;
constexpr std::uint8_t kProtocolIcmp = 1;
constexpr std::uint8_t kProtocolIcmpv6 = 58;
constexpr std::uint8_t kEchoRequest = 8;
constexpr std::uint8_t kEchoRequest6 = 128;
constexpr std::uint8_t kEchoReply6 = 129;
constexpr std::uint8_t kSolicitation = 135;
constexpr std::uint8_t kAdvertisement = 136;
constexpr std::uint8_t kSourceLinkOption = 1;
constexpr std::uint8_t kTargetLinkOption = 2;
constexpr std::uint8_t kSolicitedAndOverride = 0x60;
constexpr std::uint8_t kOverride = 0x20;
constexpr std::uint8_t kHopLimit = 64;
/// What proves that a frame of neighbour discovery was not routed (RFC 4861 7.1).
constexpr std::uint8_t kLinkHopLimit = 255;
constexpr std::uint16_t kHolds = 0xffff;

std::uint8_t u8(Bytes bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }
std::uint16_t be16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(u8(bytes, at) << 8 | u8(bytes, at + 1));
}
void put8(Room bytes, std::size_t at, std::uint8_t value) { bytes[at] = std::byte{value}; }
void put16(Room bytes, std::size_t at, std::uint16_t value) {
  put8(bytes, at, static_cast<std::uint8_t>(value >> 8));
  put8(bytes, at + 1, static_cast<std::uint8_t>(value & 0xff));
}
template <std::size_t kCount>
std::array<std::uint8_t, kCount> array_at(Bytes bytes, std::size_t at) {
  std::array<std::uint8_t, kCount> result;
  std::memcpy(result.data(), bytes.data() + at, kCount);
  return result;
}
template <std::size_t kCount>
void put_array(Room bytes, std::size_t at, const std::array<std::uint8_t, kCount>& value) {
  std::memcpy(bytes.data() + at, value.data(), kCount);
}

EthernetAddress ethernet_at(Bytes bytes, std::size_t at) { return array_at<6>(bytes, at); }
IpAddress ipv6_at(Bytes bytes, std::size_t at) { return array_at<16>(bytes, at); }
IpAddress ipv4_at(Bytes bytes, std::size_t at) {
  IpAddress address{};
  address[10] = 0xff;
  address[11] = 0xff;
  std::memcpy(address.data() + 12, bytes.data() + at, 4);
  return address;
}
void put_ipv4(Room bytes, std::size_t at, const IpAddress& address) {
  std::memcpy(bytes.data() + at, address.data() + 12, 4);
}

/// One host's: no group, not nobody's.
bool is_unicast(const EthernetAddress& address) {
  return (address[0] & 1) == 0 && address != EthernetAddress{};
}
bool is_unicast_ipv4(const IpAddress& address) {
  return address[12] != 0 && address[12] < 224 && address[12] != 127;
}
bool is_unicast_ipv6(const IpAddress& address) {
  return address[0] != 0xff && address != IpAddress{};
}

constexpr EthernetAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/// RFC 2464 7.
EthernetAddress group_ethernet(const IpAddress& group) {
  return {0x33, 0x33, group[12], group[13], group[14], group[15]};
}

/// RFC 4291 2.7.1.
IpAddress solicited_group(const IpAddress& address) {
  IpAddress group{};
  group[0] = 0xff;
  group[1] = 0x02;
  group[11] = 0x01;
  group[12] = 0xff;
  std::copy(address.begin() + 13, address.end(), group.begin() + 13);
  return group;
}

constexpr IpAddress kAllNodes = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

void put_ethernet(Room frame, const EthernetAddress& target, const EthernetAddress& source,
                  std::uint16_t type) {
  put_array(frame, 0, target);
  put_array(frame, 6, source);
  put16(frame, 12, type);
}

/// `bytes` of ICMPv6 stand behind the header that is written.
void put_ipv6(Room frame, const IpAddress& source, const IpAddress& target, std::uint8_t hop_limit,
              std::size_t bytes) {
  std::fill_n(frame.begin() + kEthernetBytes, 8, std::byte{0});
  put8(frame, kEthernetBytes, 6 << 4);
  put16(frame, kEthernetBytes + 4, static_cast<std::uint16_t>(bytes));
  put8(frame, kEthernetBytes + 6, kProtocolIcmpv6);
  put8(frame, kEthernetBytes + 7, hop_limit);
  put_array(frame, kEthernetBytes + 8, source);
  put_array(frame, kEthernetBytes + 24, target);
}

/// Over the pseudo header (RFC 8200 8.1) and `bytes` of ICMPv6 behind the IPv6 header.
std::uint16_t icmpv6_sum(Bytes frame, std::size_t bytes) {
  const std::uint32_t sum = internet_sum(frame.subspan(kEthernetBytes + 8, 32)) +
                            static_cast<std::uint32_t>(bytes) + kProtocolIcmpv6;
  return internet_sum(frame.subspan(kIcmpv6At, bytes), sum);
}

void put_icmpv6_sum(Room frame, std::size_t bytes) {
  put16(frame, kIcmpv6At + 2, 0);
  put16(frame, kIcmpv6At + 2, static_cast<std::uint16_t>(~icmpv6_sum(frame, bytes)));
}

void put_link_option(Room frame, std::size_t at, std::uint8_t kind,
                     const EthernetAddress& ethernet) {
  put8(frame, at, kind);
  put8(frame, at + 1, 1);  // in units of eight bytes
  put_array(frame, at + 2, ethernet);
}

/// The link-layer address in the options of a discovery message of `bytes` behind the IPv6 header.
std::optional<EthernetAddress> link_option(Bytes frame, std::size_t bytes, std::uint8_t kind) {
  std::size_t at = kIcmpv6At + kDiscoveryBytes;
  const std::size_t end = kIcmpv6At + bytes;
  while (at + kLinkOptionBytes <= end) {
    const std::size_t option_bytes = std::size_t{u8(frame, at + 1)} * 8;
    if (option_bytes == 0) return std::nullopt;  // RFC 4861 4.6: such a packet is dropped
    if (u8(frame, at) == kind && option_bytes == kLinkOptionBytes)
      return ethernet_at(frame, at + 2);
    at += option_bytes;
  }
  return std::nullopt;
}

}  // namespace

std::uint16_t internet_sum(std::span<const std::byte> bytes, std::uint32_t sum) {
  std::uint64_t total = sum;
  std::size_t at = 0;
  for (; at + 1 < bytes.size(); at += 2) total += be16(bytes, at);
  if (at < bytes.size()) total += std::uint32_t{u8(bytes, at)} << 8;
  while ((total >> 16) != 0) total = (total & 0xffff) + (total >> 16);
  return static_cast<std::uint16_t>(total);
}

Neighbours::Neighbours(const NeighboursOptions& options)
    : options_(options), entries_(options.capacity_count) {
  RW_CHECK(options.capacity_count > 0);
  is_ipv4_ = std::all_of(options.local.begin(), options.local.begin() + 10,
                         [](std::uint8_t octet) { return octet == 0; }) &&
             options.local[10] == 0xff && options.local[11] == 0xff;
}

bool Neighbours::is_on_link(const IpAddress& remote) const {
  if (!options_.gateway || remote == *options_.gateway) return true;
  const std::uint32_t bits = options_.prefix_bits + (is_ipv4_ ? 96 : 0);
  for (std::uint32_t bit = 0; bit < bits; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80 >> (bit % 8));
    if (((remote[bit / 8] ^ options_.local[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

std::optional<std::uint32_t> Neighbours::free_entry() {
  for (const bool may_be_used : {false, true})
    for (std::uint32_t index = 0; index < entries_.size(); ++index) {
      Entry& entry = entries_[index];
      if (entry.opened_count != 0 || (entry.is_used && !may_be_used)) continue;
      if (entry.is_used) indices_.erase(entry.address);
      entry = Entry{};
      return index;
    }
  return std::nullopt;
}

std::optional<NeighbourId> Neighbours::open(const IpAddress& remote) {
  const IpAddress& hop = is_on_link(remote) ? remote : *options_.gateway;
  auto found = indices_.find(hop);
  if (found == indices_.end()) {
    const auto index = free_entry();
    if (!index) return std::nullopt;
    entries_[*index].address = hop;
    entries_[*index].is_used = true;
    found = indices_.emplace(hop, *index).first;
  }
  Entry& entry = entries_[found->second];
  ++entry.opened_count;
  next_request_ns_ = std::min(next_request_ns_, entry.ask_ns);
  return NeighbourId{found->second};
}

void Neighbours::close(NeighbourId neighbour) {
  Entry& entry = entries_[static_cast<std::size_t>(neighbour)];
  RW_CHECK(entry.opened_count > 0);
  --entry.opened_count;
}

void Neighbours::learn(TimeNs now, const IpAddress& address, const EthernetAddress& ethernet) {
  if (!is_unicast(ethernet)) return;
  const auto found = indices_.find(address);
  if (found == indices_.end()) return;
  Entry& entry = entries_[found->second];
  if (!entry.is_known || entry.ethernet != ethernet) ++counters_.learned;
  entry.ethernet = ethernet;
  entry.is_known = true;
  entry.asked_count = 0;
  entry.ask_ns = now + kRefreshNs;
  next_request_ns_ = std::min(next_request_ns_, entry.ask_ns);
}

bool Neighbours::spend_answer(TimeNs now) {
  constexpr DurationNs kOneNs = kSecondNs / kAnswersPerSecond;
  const DurationNs passed_ns = std::max<DurationNs>(now - answers_filled_ns_, 0);
  if (passed_ns >= kOneNs) {
    const auto more = static_cast<std::uint64_t>(passed_ns / kOneNs);
    answers_left_ =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(kAnswerBurst, answers_left_ + more));
    answers_filled_ns_ = now;
  }
  if (answers_left_ == 0) {
    ++counters_.answers_refused;
    return false;
  }
  --answers_left_;
  ++counters_.answers_sent;
  return true;
}

Neighbours::Outcome Neighbours::ignored() {
  ++counters_.ignored;
  return {};
}

Neighbours::Outcome Neighbours::on_frame(TimeNs now, Bytes frame, Room answer) {
  if (frame.size() < kEthernetBytes || !is_unicast(ethernet_at(frame, 6))) return ignored();
  const std::uint16_t type = be16(frame, 12);
  if (is_ipv4_ && type == kTypeArp) return on_arp(now, frame, answer);
  if (is_ipv4_ && type == kTypeIpv4) return on_ipv4(now, frame, answer);
  if (!is_ipv4_ && type == kTypeIpv6) return on_ipv6(now, frame, answer);
  return ignored();
}

Neighbours::Outcome Neighbours::on_arp(TimeNs now, Bytes frame, Room answer) {
  constexpr std::size_t kAt = kEthernetBytes;
  if (frame.size() < kAt + kArpBytes || be16(frame, kAt) != 1 || be16(frame, kAt + 2) != kTypeIpv4)
    return ignored();
  const std::uint16_t operation = be16(frame, kAt + 6);
  if (be16(frame, kAt + 4) != 0x0604 || (operation != kArpRequest && operation != kArpReply))
    return ignored();
  const EthernetAddress sender_ethernet = ethernet_at(frame, kAt + 8);
  const IpAddress sender = ipv4_at(frame, kAt + 14);
  if (!is_unicast(sender_ethernet)) return ignored();
  if (sender == options_.local && sender_ethernet != options_.ethernet) {
    ++counters_.conflicts;
    return {};
  }
  learn(now, sender, sender_ethernet);
  if (operation == kArpReply) return {0, true};
  if (ipv4_at(frame, kAt + 24) != options_.local) return ignored();
  if (answer.size() < kAt + kArpBytes || !spend_answer(now)) return {};
  put_ethernet(answer, sender_ethernet, options_.ethernet, kTypeArp);
  std::memcpy(answer.data() + kAt, frame.data() + kAt, 6);
  put16(answer, kAt + 6, kArpReply);
  put_array(answer, kAt + 8, options_.ethernet);
  put_ipv4(answer, kAt + 14, options_.local);
  put_array(answer, kAt + 18, sender_ethernet);
  put_ipv4(answer, kAt + 24, sender);
  return {kAt + kArpBytes, false};
}

Neighbours::Outcome Neighbours::on_ipv4(TimeNs now, Bytes frame, Room answer) {
  constexpr std::size_t kIcmpAt = kEthernetBytes + kIpv4Bytes;
  if (frame.size() < kIcmpAt + kEchoBytes || u8(frame, kEthernetBytes) != 0x45) return ignored();
  const std::size_t total_bytes = be16(frame, kEthernetBytes + 2);
  const IpAddress source = ipv4_at(frame, kEthernetBytes + 12);
  const bool is_whole = (be16(frame, kEthernetBytes + 6) & 0x3fff) == 0;
  if (total_bytes < kIpv4Bytes + kEchoBytes || total_bytes > frame.size() - kEthernetBytes ||
      !is_whole || u8(frame, kEthernetBytes + 9) != kProtocolIcmp ||
      ethernet_at(frame, 0) != options_.ethernet || !is_unicast_ipv4(source) ||
      ipv4_at(frame, kEthernetBytes + 16) != options_.local ||
      internet_sum(frame.subspan(kEthernetBytes, kIpv4Bytes)) != kHolds)
    return ignored();
  const std::size_t icmp_bytes = total_bytes - kIpv4Bytes;
  if (be16(frame, kIcmpAt) != kEchoRequest << 8 ||
      internet_sum(frame.subspan(kIcmpAt, icmp_bytes)) != kHolds)
    return ignored();
  const std::size_t bytes = kEthernetBytes + total_bytes;
  if (answer.size() < bytes) {
    ++counters_.answers_refused;
    return {};
  }
  if (!spend_answer(now)) return {};
  std::memcpy(answer.data(), frame.data(), bytes);
  put_ethernet(answer, ethernet_at(frame, 6), options_.ethernet, kTypeIpv4);
  put8(answer, kEthernetBytes + 8, kHopLimit);
  put16(answer, kEthernetBytes + 10, 0);
  put_ipv4(answer, kEthernetBytes + 12, options_.local);
  put_ipv4(answer, kEthernetBytes + 16, source);
  put16(answer, kEthernetBytes + 10,
        static_cast<std::uint16_t>(~internet_sum(answer.subspan(kEthernetBytes, kIpv4Bytes))));
  put8(answer, kIcmpAt, 0);  // echo reply
  put16(answer, kIcmpAt + 2, 0);
  put16(answer, kIcmpAt + 2,
        static_cast<std::uint16_t>(~internet_sum(answer.subspan(kIcmpAt, icmp_bytes))));
  return {bytes, false};
}

Neighbours::Outcome Neighbours::on_ipv6(TimeNs now, Bytes frame, Room answer) {
  if (frame.size() < kIcmpv6At + kEchoBytes || u8(frame, kEthernetBytes) >> 4 != 6 ||
      u8(frame, kEthernetBytes + 6) != kProtocolIcmpv6)
    return ignored();
  const std::size_t icmp_bytes = be16(frame, kEthernetBytes + 4);
  if (icmp_bytes < kEchoBytes || icmp_bytes > frame.size() - kIcmpv6At ||
      icmpv6_sum(frame, icmp_bytes) != kHolds)
    return ignored();
  const std::uint8_t type = u8(frame, kIcmpv6At);
  if (u8(frame, kIcmpv6At + 1) != 0) return ignored();
  if (type == kSolicitation || type == kAdvertisement) {
    if (icmp_bytes < kDiscoveryBytes || u8(frame, kEthernetBytes + 7) != kLinkHopLimit)
      return ignored();
    const Bytes message = frame.first(kIcmpv6At + icmp_bytes);
    return type == kSolicitation ? on_solicitation(now, message, answer)
                                 : on_advertisement(now, message);
  }
  const IpAddress source = ipv6_at(frame, kEthernetBytes + 8);
  if (type != kEchoRequest6 || ethernet_at(frame, 0) != options_.ethernet ||
      ipv6_at(frame, kEthernetBytes + 24) != options_.local || !is_unicast_ipv6(source))
    return ignored();
  const std::size_t bytes = kIcmpv6At + icmp_bytes;
  if (answer.size() < bytes) {
    ++counters_.answers_refused;
    return {};
  }
  if (!spend_answer(now)) return {};
  std::memcpy(answer.data(), frame.data(), bytes);
  put_ethernet(answer, ethernet_at(frame, 6), options_.ethernet, kTypeIpv6);
  put_ipv6(answer, options_.local, source, kHopLimit, icmp_bytes);
  put8(answer, kIcmpv6At, kEchoReply6);
  put_icmpv6_sum(answer, icmp_bytes);
  return {bytes, false};
}

Neighbours::Outcome Neighbours::on_solicitation(TimeNs now, Bytes frame, Room answer) {
  const IpAddress source = ipv6_at(frame, kEthernetBytes + 8);
  const IpAddress target = ipv6_at(frame, kEthernetBytes + 24);
  const auto link = link_option(frame, frame.size() - kIcmpv6At, kSourceLinkOption);
  // Somebody who wants to have our address asks from nowhere (RFC 4862 5.4.3).
  const bool is_probe = source == IpAddress{};
  if (is_probe ? link.has_value() || target != solicited_group(options_.local)
               : !is_unicast_ipv6(source))
    return ignored();
  if (link && !is_probe) learn(now, source, *link);
  if (ipv6_at(frame, kIcmpv6At + 8) != options_.local) return ignored();
  constexpr std::size_t kMessageBytes = kDiscoveryBytes + kLinkOptionBytes;
  if (answer.size() < kIcmpv6At + kMessageBytes || !spend_answer(now)) return {};
  const IpAddress& to = is_probe ? kAllNodes : source;
  const EthernetAddress hop =
      is_probe ? group_ethernet(kAllNodes) : link.value_or(ethernet_at(frame, 6));
  put_ethernet(answer, hop, options_.ethernet, kTypeIpv6);
  put_ipv6(answer, options_.local, to, kLinkHopLimit, kMessageBytes);
  std::fill_n(answer.begin() + kIcmpv6At, 8, std::byte{0});
  put8(answer, kIcmpv6At, kAdvertisement);
  put8(answer, kIcmpv6At + 4, is_probe ? kOverride : kSolicitedAndOverride);
  put_array(answer, kIcmpv6At + 8, options_.local);
  put_link_option(answer, kIcmpv6At + kDiscoveryBytes, kTargetLinkOption, options_.ethernet);
  put_icmpv6_sum(answer, kMessageBytes);
  return {kIcmpv6At + kMessageBytes, false};
}

Neighbours::Outcome Neighbours::on_advertisement(TimeNs now, Bytes frame) {
  const IpAddress to = ipv6_at(frame, kEthernetBytes + 24);
  const IpAddress address = ipv6_at(frame, kIcmpv6At + 8);
  const bool is_solicited = (u8(frame, kIcmpv6At + 4) & 0x40) != 0;
  if ((to[0] == 0xff && is_solicited) || !is_unicast_ipv6(address)) return ignored();
  const auto link = link_option(frame, frame.size() - kIcmpv6At, kTargetLinkOption);
  if (address == options_.local) {
    if (link && *link != options_.ethernet) ++counters_.conflicts;
    return {};
  }
  // Without the option it confirms what is known (an answer to a unicast request may leave it out).
  learn(now, address, link.value_or(ethernet_at(frame, 6)));
  return {0, true};
}

std::size_t Neighbours::poll_request(TimeNs now, Room frame) {
  if (now < next_request_ns_) return 0;
  RW_CHECK(frame.size() >= kMaxRequestBytes);
  Entry* due = nullptr;
  TimeNs next_ns = kNeverNs;
  for (Entry& entry : entries_) {
    if (entry.opened_count == 0) continue;
    if (due == nullptr && entry.ask_ns <= now) {
      due = &entry;
      ++entry.asked_count;
      entry.ask_ns = now + (entry.asked_count < kSoonAsks ? kAskSoonNs : kAskLaterNs);
    }
    next_ns = std::min(next_ns, entry.ask_ns);
  }
  next_request_ns_ = next_ns;
  if (due == nullptr) return 0;
  ++counters_.requests_sent;
  return is_ipv4_ ? write_arp_request(due->address, frame)
                  : write_solicitation(due->address, frame);
}

std::size_t Neighbours::write_arp_request(const IpAddress& address, Room frame) const {
  constexpr std::size_t kAt = kEthernetBytes;
  put_ethernet(frame, kBroadcast, options_.ethernet, kTypeArp);
  put16(frame, kAt, 1);
  put16(frame, kAt + 2, kTypeIpv4);
  put16(frame, kAt + 4, 0x0604);  // six and four bytes of address
  put16(frame, kAt + 6, kArpRequest);
  put_array(frame, kAt + 8, options_.ethernet);
  put_ipv4(frame, kAt + 14, options_.local);
  put_array(frame, kAt + 18, EthernetAddress{});
  put_ipv4(frame, kAt + 24, address);
  return kAt + kArpBytes;
}

std::size_t Neighbours::write_solicitation(const IpAddress& address, Room frame) const {
  constexpr std::size_t kMessageBytes = kDiscoveryBytes + kLinkOptionBytes;
  const IpAddress group = solicited_group(address);
  put_ethernet(frame, group_ethernet(group), options_.ethernet, kTypeIpv6);
  put_ipv6(frame, options_.local, group, kLinkHopLimit, kMessageBytes);
  std::fill_n(frame.begin() + kIcmpv6At, 8, std::byte{0});
  put8(frame, kIcmpv6At, kSolicitation);
  put_array(frame, kIcmpv6At + 8, address);
  put_link_option(frame, kIcmpv6At + kDiscoveryBytes, kSourceLinkOption, options_.ethernet);
  put_icmpv6_sum(frame, kMessageBytes);
  return kIcmpv6At + kMessageBytes;
}

}  // namespace ringwire::port
