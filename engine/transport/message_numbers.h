// A message number is a slot index in its low bits and the slot's generation above (docs/wire.md
// W-10, W-11). Generations compare serially (RFC 1982), so that they may wrap. Any thread; hot.
#pragma once

#include <bit>
#include <cstdint>

#include "engine/transport/limits.h"

namespace ringwire::transport {

// A late packet must not look newer than it is. Packets outside of the window are dropped, and one
// slot is used at most once per packet, so that within the window a slot sees fewer uses than half
// of the least generation space.
static_assert(kPacketWindow < (std::uint64_t{1} << 32) / kMaxMessageSlots / 2);

class MessageNumbers {
 public:
  /// `slots`: a power of two, at most 65,536, so that at least 16 bits of generation remain.
  explicit MessageNumbers(std::uint32_t slots)
      : slots_(slots), slot_bits_(static_cast<unsigned>(std::countr_zero(slots))) {}

  [[nodiscard]] std::uint32_t slots() const { return slots_; }
  [[nodiscard]] std::uint32_t slot_of(std::uint32_t number) const { return number & (slots_ - 1); }
  [[nodiscard]] std::uint32_t generation_of(std::uint32_t number) const {
    return number >> slot_bits_;
  }
  [[nodiscard]] std::uint32_t number_of(std::uint32_t slot, std::uint32_t generation) const {
    return generation << slot_bits_ | slot;
  }
  [[nodiscard]] std::uint32_t next_generation(std::uint32_t generation) const {
    return generation_of((generation + 1) << slot_bits_);
  }
  /// Below 0: `left` is the older generation; 0: the same; above: the newer.
  [[nodiscard]] std::int32_t compare(std::uint32_t left, std::uint32_t right) const {
    return static_cast<std::int32_t>((left - right) << slot_bits_);
  }

 private:
  std::uint32_t slots_;
  unsigned slot_bits_;
};

}  // namespace ringwire::transport
