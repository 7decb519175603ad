// Values of the configuration as text and back: sizes, durations, addresses, host:port; and the
// nearest known name to a mistyped one. Pure; cold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"

namespace ringwire::node {

/// A host and a port as configured; not resolved.
struct HostPort {
  std::string host;  ///< a name or an address; IPv6 without brackets
  std::uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

/// Bytes of "4096", "64KiB", "1.5GiB" (B, KiB, MiB, GiB, TiB; a space before the unit is allowed).
/// Nothing for anything else, for fractions of a byte and beyond 2^63 - 1.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
/// The shortest exact text: "1GiB", "1536KiB", "4097".
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// Nanoseconds of "30s", "80ms", "2.5s" (ns, us, ms, s, min, h). A bare number has no unit:
/// nothing, but for "0".
[[nodiscard]] std::optional<DurationNs> parse_duration(std::string_view text);
[[nodiscard]] std::string duration_text(DurationNs duration);

/// "host:port", "192.0.2.1:80", "[2001:db8::1]:80". The port is a number, 0 allowed.
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view text);
[[nodiscard]] std::string host_port_text(const HostPort& value);

/// An address, or an address and a prefix length: "10.0.0.0/8", "2001:db8::/32", "192.0.2.1".
[[nodiscard]] bool is_network(std::string_view text);

/// The known name that is most like `name`, if one is like enough to be what was meant (at most a
/// third of its letters differ).
[[nodiscard]] std::optional<std::string_view> nearest_name(std::string_view name,
                                                           std::span<const std::string_view> known);

}  // namespace ringwire::node
