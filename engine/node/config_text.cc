#include "engine/node/config_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <vector>

#include "base/endpoint_text.h"

namespace ringwire::node {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 5> kSizeUnits = {
    {{"TiB", 1ULL << 40}, {"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"B", 1}}};

constexpr std::array<Unit, 6> kTimeUnits = {{{"h", 3'600'000'000'000},
                                             {"min", 60'000'000'000},
                                             {"s", 1'000'000'000},
                                             {"ms", 1'000'000},
                                             {"us", 1'000},
                                             {"ns", 1}}};

constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();

std::optional<std::uint64_t> parse_whole(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// "12.5" x factor, exactly, or nothing.
std::optional<std::uint64_t> scaled(std::string_view number, std::uint64_t factor) {
  const std::size_t point = number.find('.');
  const auto whole = parse_whole(number.substr(0, point));
  if (!whole || *whole > kLargest / factor) return std::nullopt;
  std::uint64_t value = *whole * factor;
  if (point == std::string_view::npos) return value;
  const std::string_view digits = number.substr(point + 1);
  const auto fraction = parse_whole(digits);
  if (!fraction || digits.size() > 6) return std::nullopt;
  std::uint64_t divisor = 1;
  for (std::size_t count = 0; count < digits.size(); ++count) divisor *= 10;
  // fraction < 10^6 < 2^20 and factor <= 2^42: no overflow.
  if (*fraction * factor % divisor != 0) return std::nullopt;
  value += *fraction * factor / divisor;
  return value <= kLargest ? std::optional(value) : std::nullopt;
}

template <std::size_t kCount>
std::optional<std::uint64_t> parse_with_unit(std::string_view text,
                                             const std::array<Unit, kCount>& units) {
  const std::size_t digits = text.find_first_not_of("0123456789.");
  if (digits == std::string_view::npos || digits == 0) return std::nullopt;
  std::string_view unit_name = text.substr(digits);
  if (unit_name.front() == ' ') unit_name.remove_prefix(1);
  for (const Unit& unit : units)
    if (unit.name == unit_name) return scaled(text.substr(0, digits), unit.factor);
  return std::nullopt;
}

template <std::size_t kCount>
std::string text_with_unit(std::uint64_t value, const std::array<Unit, kCount>& units) {
  for (const Unit& unit : units)
    if (value != 0 && value % unit.factor == 0)
      return std::to_string(value / unit.factor).append(unit.name);
  return "0";
}

// Edits that turn one name into the other (Levenshtein), with one row of the table at a time.
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t column = 0; column <= to.size(); ++column) row[column] = column;
  for (std::size_t line = 1; line <= from.size(); ++line) {
    std::size_t diagonal = row[0];
    row[0] = line;
    for (std::size_t column = 1; column <= to.size(); ++column) {
      const std::size_t replaced = diagonal + (from[line - 1] == to[column - 1] ? 0U : 1U);
      diagonal = row[column];
      row[column] = std::min({replaced, row[column] + 1, row[column - 1] + 1});
    }
  }
  return row[to.size()];
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  if (const auto bytes = parse_whole(text))
    return *bytes <= kLargest ? bytes : std::optional<std::uint64_t>{};
  return parse_with_unit(text, kSizeUnits);
}

std::string size_text(std::uint64_t bytes) {
  if (bytes % 1'024 != 0) return std::to_string(bytes);
  return text_with_unit(bytes, kSizeUnits);
}

std::optional<DurationNs> parse_duration(std::string_view text) {
  if (text == "0") return 0;
  const auto duration = parse_with_unit(text, kTimeUnits);
  if (!duration) return std::nullopt;
  return static_cast<DurationNs>(*duration);
}

std::string duration_text(DurationNs duration) {
  return text_with_unit(static_cast<std::uint64_t>(duration), kTimeUnits);
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_whole(text.substr(colon + 1));
  if (!port || *port > 65'535) return std::nullopt;
  if (host.front() == '[') {
    if (host.back() != ']' || host.size() < 4) return std::nullopt;
    host = host.substr(1, host.size() - 2);
    const auto address = parse_address(host);
    if (!address || host.find(':') == std::string_view::npos) return std::nullopt;
  } else if (host.find_first_not_of("0123456789.") == std::string_view::npos) {
    if (!parse_address(host)) return std::nullopt;  // looks like an address, so it must be one
  } else if (host.find_first_of(":[]/ ") != std::string_view::npos) {
    return std::nullopt;  // IPv6 wants its brackets
  }
  return HostPort{std::string(host), static_cast<std::uint16_t>(*port)};
}

std::string host_port_text(const HostPort& value) {
  const bool is_ipv6 = value.host.find(':') != std::string::npos;
  std::string text = is_ipv6 ? "[" : "";
  text.append(value.host).append(is_ipv6 ? "]:" : ":").append(std::to_string(value.port));
  return text;
}

bool is_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  if (!parse_address(host)) return false;
  if (slash == std::string_view::npos) return true;
  const auto prefix = parse_whole(text.substr(slash + 1));
  return prefix && *prefix <= (host.find(':') == std::string_view::npos ? 32U : 128U);
}

std::optional<std::string_view> nearest_name(std::string_view name,
                                             std::span<const std::string_view> known) {
  std::optional<std::string_view> nearest;
  std::size_t fewest = name.size() / 3 + 2;
  for (const std::string_view one : known) {
    const std::size_t edits = edit_distance(name, one);
    if (edits >= fewest) continue;
    fewest = edits;
    nearest = one;
  }
  return nearest;
}

}  // namespace ringwire::node
