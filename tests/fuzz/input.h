// The bytes of a fuzzer as a source of choices: small numbers, picks, runs of raw bytes. Past the
// end everything is 0, so that any input means something. Fuzz targets only; one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace ringwire::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t bytes)
      : left_(reinterpret_cast<const std::byte*>(data), bytes) {}

  [[nodiscard]] bool empty() const { return left_.empty(); }

  [[nodiscard]] std::uint8_t u8() {
    const auto taken = raw(1);
    return taken.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(taken[0]);
  }
  [[nodiscard]] std::uint16_t u16() { return static_cast<std::uint16_t>(u8() | u8() << 8); }
  [[nodiscard]] std::uint32_t u32() { return u16() | std::uint32_t{u16()} << 16; }
  [[nodiscard]] std::uint64_t u64() { return u32() | std::uint64_t{u32()} << 32; }

  /// In [0, bound), bound > 0.
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) {
    return (bound <= 256 ? u8() : u16()) % bound;
  }
  [[nodiscard]] bool flag() { return (u8() & 1) != 0; }

  /// A number whose interesting values are near: 0, 1, powers of two and their neighbours, a value
  /// of the caller's and its neighbours, or any.
  [[nodiscard]] std::uint64_t near(std::uint64_t value) {
    const std::uint8_t how = u8();
    if (how < 128) return value + (how % 5) - 2;
    if (how < 192) return (std::uint64_t{1} << (how % 64)) - (how >> 3 & 1);
    if (how < 224) return how % 16;
    return u64();
  }

  /// At most `bytes` raw bytes, in place.
  [[nodiscard]] std::span<const std::byte> raw(std::size_t bytes) {
    const auto taken = left_.first(std::min(bytes, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }
  [[nodiscard]] std::span<const std::byte> rest() { return raw(left_.size()); }

 private:
  std::span<const std::byte> left_;
};

}  // namespace ringwire::fuzz
