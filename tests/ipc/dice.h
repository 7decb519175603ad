// Seeded numbers for the tests of this room.
#pragma once

#include <cstdint>

#include "base/hash.h"

namespace ringwire::ipc {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  /// Uniform enough in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + mix64(state_ += 0x9e3779b97f4a7c15ULL) % (high - low + 1);
  }
  bool chance(std::uint64_t percent) { return between(0, 99) < percent; }

 private:
  std::uint64_t state_;
};

}  // namespace ringwire::ipc
