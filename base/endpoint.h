// A UDP or TCP end point as plain numbers. No name resolution, no system call. Any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

namespace ringwire {

/// IPv4 addresses are held v4-mapped (RFC 4291 2.5.5.2), so that one form serves both families.
struct Endpoint {
  std::array<std::uint8_t, 16> address{};  ///< network order
  std::uint16_t port = 0;                  ///< host order
  auto operator<=>(const Endpoint&) const = default;

  [[nodiscard]] bool is_ipv4() const {
    for (std::size_t index = 0; index < 10; ++index)
      if (address[index] != 0) return false;
    return address[10] == 0xff && address[11] == 0xff;
  }
};

}  // namespace ringwire
