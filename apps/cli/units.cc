#include "apps/cli/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <limits>

namespace ringwire::cli {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::uint64_t kKibi = 1024;
constexpr std::array kSizeUnits{
    Unit{"", 1},
    Unit{"B", 1},
    Unit{"kB", 1'000},
    Unit{"MB", 1'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"TB", 1'000'000'000'000},
    Unit{"KiB", kKibi},
    Unit{"MiB", kKibi* kKibi},
    Unit{"GiB", kKibi* kKibi* kKibi},
    Unit{"TiB", kKibi* kKibi* kKibi* kKibi},
};
constexpr std::array kDurationUnits{
    Unit{"ns", 1},
    Unit{"us", 1'000},
    Unit{"ms", 1'000'000},
    Unit{"s", 1'000'000'000},
    Unit{"m", 60'000'000'000},
    Unit{"min", 60'000'000'000},
    Unit{"h", 3'600'000'000'000},
};

// Six decimals: the scaled fraction stays below 10^6 * 2^42 < 2^62, so nothing here overflows.
constexpr std::size_t kMaxDecimals = 6;
constexpr std::uint64_t kMaxValue = std::numeric_limits<std::int64_t>::max();

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

std::string_view take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> scale(std::uint64_t whole, std::string_view decimals,
                                   std::uint64_t factor) {
  if (whole > kMaxValue / factor) return std::nullopt;
  std::uint64_t value = whole * factor;
  if (decimals.empty()) return value;
  const auto fraction = number_of(decimals);
  if (!fraction) return std::nullopt;
  std::uint64_t divisor = 1;
  for (std::size_t i = 0; i < decimals.size(); ++i) divisor *= 10;
  const std::uint64_t scaled = *fraction * factor;
  if (scaled % divisor != 0) return std::nullopt;
  value += scaled / divisor;
  if (value > kMaxValue) return std::nullopt;
  return value;
}

template <std::size_t N>
std::optional<std::uint64_t> parse_quantity(std::string_view text,
                                            const std::array<Unit, N>& units) {
  const auto whole = number_of(take_digits(text));
  if (!whole) return std::nullopt;
  std::string_view decimals;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    decimals = take_digits(text);
    if (decimals.empty() || decimals.size() > kMaxDecimals) return std::nullopt;
  }
  if (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  for (const Unit& unit : units) {
    if (unit.name == text) return scale(*whole, decimals, unit.factor);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_quantity(text, kSizeUnits);
}

std::optional<std::int64_t> parse_duration(std::string_view text) {
  if (text == "0") return 0;
  const auto value = parse_quantity(text, kDurationUnits);
  if (!value) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (hexadecimal) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hexadecimal ? 16 : 10);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 6> kNames{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < kKibi) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024.0;
  std::size_t unit = 0;
  // 1023.95 and not 1024: what would be printed as "1024.0 KiB" becomes "1.0 MiB".
  while (value >= 1023.95 && unit + 1 < kNames.size()) {
    value /= 1024.0;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kNames[unit]);
}

std::string format_duration(std::int64_t duration_ns) {
  if (duration_ns < 0) return fmt::format("-{}", format_duration(-(duration_ns + 1)));
  if (duration_ns < 1'000) return fmt::format("{} ns", duration_ns);
  const double ns = static_cast<double>(duration_ns);
  if (duration_ns < 1'000'000) return fmt::format("{:.1f} us", ns / 1e3);
  if (duration_ns < 1'000'000'000) return fmt::format("{:.2f} ms", ns / 1e6);
  const std::int64_t seconds = duration_ns / 1'000'000'000;
  if (seconds < 60) return fmt::format("{:.2f} s", ns / 1e9);
  if (seconds < 3'600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  if (seconds < 86'400) return fmt::format("{} h {:02} min", seconds / 3'600, seconds / 60 % 60);
  return fmt::format("{} d {:02} h", seconds / 86'400, seconds / 3'600 % 24);
}

std::string format_count(std::uint64_t count) {
  std::string digits = fmt::format("{}", count);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

}  // namespace ringwire::cli
