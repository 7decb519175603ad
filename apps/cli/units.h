// Sizes, durations and counts as people write and read them: "1GiB", "250ms", "1.2 million/s". The
// inverse pair is not exact: what is printed for a person is rounded. Any thread; cold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringwire::cli {

/// Read a size in bytes: digits, at most six decimals, and B, kB, MB, GB, TB (powers of 1000) or
/// KiB, MiB, GiB, TiB (powers of 1024); no unit means bytes.
/// Returns nothing for anything else, and for what is no whole number of bytes below 2^63. "1K" is
/// refused because people disagree about what it means.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

/// Read a duration in ns: digits, at most six decimals, and ns, us, ms, s, min (or m) or h. A bare
/// number is refused, except 0: its unit would be a guess.
[[nodiscard]] std::optional<std::int64_t> parse_duration(std::string_view text);

/// Read an unsigned 64-bit number, decimal or with 0x in hexadecimal.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

/// "640 B", "1.5 KiB", "3.0 GiB".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

/// "850 ns", "12.3 us", "4.20 s", "2 h 05 min".
[[nodiscard]] std::string format_duration(std::int64_t duration_ns);

/// A number with its thousands apart: "1,234,567".
[[nodiscard]] std::string format_count(std::uint64_t count);

}  // namespace ringwire::cli
