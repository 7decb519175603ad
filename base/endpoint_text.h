// End points as text and back: "192.0.2.1:80", "[2001:db8::1]:80". IPv6 is written in the canonical
// form of RFC 5952 (lower case, longest run of zero groups shortened, no leading zeros). Numbers
// only: no names are resolved, no zones ("%eth0") are known, no system call is made. Any thread;
// cold.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/endpoint.h"

namespace ringwire {

/// The four octets as a v4-mapped end point.
[[nodiscard]] constexpr Endpoint endpoint_of_ipv4(std::array<std::uint8_t, 4> octets,
                                                  std::uint16_t port) {
  Endpoint endpoint;
  endpoint.address[10] = 0xff;
  endpoint.address[11] = 0xff;
  for (std::size_t index = 0; index < 4; ++index) endpoint.address[12 + index] = octets[index];
  endpoint.port = port;
  return endpoint;
}

namespace detail {

/// All of `text` as an unsigned number in `base`, of 1 to `max_digits` digits and at most
/// `max_value`; leading zeros are the caller's business.
[[nodiscard]] inline std::optional<std::uint32_t> parse_number(std::string_view text, int base,
                                                               std::size_t max_digits,
                                                               std::uint32_t max_value) {
  if (text.empty() || text.size() > max_digits) return std::nullopt;
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc{} || stop != end || value > max_value) return std::nullopt;
  return value;
}

[[nodiscard]] inline std::optional<std::array<std::uint8_t, 4>> parse_ipv4(std::string_view text) {
  std::array<std::uint8_t, 4> octets{};
  for (std::size_t index = 0; index < 4; ++index) {
    const std::size_t dot = index < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return std::nullopt;
    const std::string_view part = text.substr(0, dot);
    // "010" is eight to some readers and ten to others: refused.
    if (part.size() > 1 && part.front() == '0') return std::nullopt;
    const auto value = parse_number(part, 10, 3, 255);
    if (!value) return std::nullopt;
    octets[index] = static_cast<std::uint8_t>(*value);
    text.remove_prefix(index < 3 ? dot + 1 : dot);
  }
  return octets;
}

/// Groups of 16 bits up to the end of `text`, the last of which may be a dotted IPv4 address.
/// Returns how many groups were written from `groups[0]`, or nothing when the text is wrong.
[[nodiscard]] inline std::optional<std::size_t> parse_groups(std::string_view text,
                                                             std::array<std::uint16_t, 8>& groups) {
  std::size_t count = 0;
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    if (part.find('.') != std::string_view::npos) {
      const auto octets = parse_ipv4(part);
      if (!octets || colon != std::string_view::npos || count > 6) return std::nullopt;
      groups[count++] = static_cast<std::uint16_t>((*octets)[0] << 8 | (*octets)[1]);
      groups[count++] = static_cast<std::uint16_t>((*octets)[2] << 8 | (*octets)[3]);
      return count;
    }
    const auto value = parse_number(part, 16, 4, 0xffff);
    if (!value || count == 8) return std::nullopt;
    groups[count++] = static_cast<std::uint16_t>(*value);
    if (colon == std::string_view::npos) return count;
    text.remove_prefix(colon + 1);
    if (text.empty()) return std::nullopt;  // a single colon at the end
  }
  return count;
}

}  // namespace detail

/// An address without a port, IPv4 or IPv6; the result's port is 0. Nothing when it is not one.
[[nodiscard]] inline std::optional<Endpoint> parse_address(std::string_view text) {
  if (text.find(':') == std::string_view::npos) {
    const auto octets = detail::parse_ipv4(text);
    if (!octets) return std::nullopt;
    return endpoint_of_ipv4(*octets, 0);
  }
  std::array<std::uint16_t, 8> head{};
  std::array<std::uint16_t, 8> tail{};
  const std::size_t gap = text.find("::");
  std::optional<std::size_t> head_count;
  std::optional<std::size_t> tail_count = 0;
  if (gap == std::string_view::npos) {
    head_count = detail::parse_groups(text, head);
    if (!head_count || *head_count != 8) return std::nullopt;
  } else {
    const std::string_view before = text.substr(0, gap);
    if (before.find('.') != std::string_view::npos) return std::nullopt;
    head_count = detail::parse_groups(before, head);
    tail_count = detail::parse_groups(text.substr(gap + 2), tail);
    if (!head_count || !tail_count || *head_count + *tail_count > 7) return std::nullopt;
    for (std::size_t index = 0; index < *tail_count; ++index)
      head[8 - *tail_count + index] = tail[index];
  }
  Endpoint endpoint;
  for (std::size_t index = 0; index < 8; ++index) {
    endpoint.address[2 * index] = static_cast<std::uint8_t>(head[index] >> 8);
    endpoint.address[2 * index + 1] = static_cast<std::uint8_t>(head[index] & 0xff);
  }
  return endpoint;
}

/// "ADDRESS:PORT", with an IPv6 address in brackets. Nothing when it is not one.
[[nodiscard]] inline std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view address = text.substr(0, colon);
  const bool bracketed = address.size() >= 2 && address.front() == '[' && address.back() == ']';
  if (bracketed) address = address.substr(1, address.size() - 2);
  if (bracketed != (address.find(':') != std::string_view::npos)) return std::nullopt;
  const auto port = detail::parse_number(text.substr(colon + 1), 10, 5, 65'535);
  auto endpoint = parse_address(address);
  if (!port || !endpoint) return std::nullopt;
  endpoint->port = static_cast<std::uint16_t>(*port);
  return endpoint;
}

/// The address alone, without brackets.
[[nodiscard]] inline std::string address_text(const Endpoint& endpoint) {
  const auto& bytes = endpoint.address;
  if (endpoint.is_ipv4())
    return std::to_string(bytes[12]) + '.' + std::to_string(bytes[13]) + '.' +
           std::to_string(bytes[14]) + '.' + std::to_string(bytes[15]);
  std::array<std::uint16_t, 8> groups{};
  for (std::size_t index = 0; index < 8; ++index)
    groups[index] = static_cast<std::uint16_t>(bytes[2 * index] << 8 | bytes[2 * index + 1]);
  // RFC 5952 4.2: the longest run of zero groups, the first of equals, never a single group.
  std::size_t best_start = 8;
  std::size_t best_count = 1;
  for (std::size_t start = 0; start < 8; ++start) {
    std::size_t count = 0;
    while (start + count < 8 && groups[start + count] == 0) ++count;
    if (count > best_count) {
      best_start = start;
      best_count = count;
    }
  }
  std::string text;
  for (std::size_t index = 0; index < 8; ++index) {
    if (index == best_start) {
      text += "::";
      index += best_count - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    char digits[4];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, groups[index], 16);
    text.append(digits, end);
  }
  return text;
}

/// "192.0.2.1:80" or "[2001:db8::1]:80".
[[nodiscard]] inline std::string endpoint_text(const Endpoint& endpoint) {
  const std::string address = address_text(endpoint);
  const std::string port = ':' + std::to_string(endpoint.port);
  return endpoint.is_ipv4() ? address + port : '[' + address + ']' + port;
}

}  // namespace ringwire
