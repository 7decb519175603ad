// A fixed-size map from a 64-bit key to a 32-bit index: open addressing with linear probing,
// backward shift on erase (Knuth 6.4, algorithm R), so that it never fills up with tomb stones.
// Sized at twice the entries it will ever hold; the owner's pool bounds those. Hot; one thread; no
// allocation after construction.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "engine/worker/index_pool.h"

namespace ringwire::worker {

class HashIndex {
 public:
  explicit HashIndex(std::uint32_t max_entries)
      : cells_(std::bit_ceil(std::uint64_t{max_entries} * 2 + 2)), mask_(cells_.size() - 1) {}

  /// The index stored under `key`, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const {
    for (std::uint64_t at = home(key);; at = (at + 1) & mask_) {
      if (cells_[at].value == kNone) return kNone;
      if (cells_[at].key == key) return cells_[at].value;
    }
  }

  /// Store or replace.
  void put(std::uint64_t key, std::uint32_t value) {
    for (std::uint64_t at = home(key);; at = (at + 1) & mask_) {
      if (cells_[at].value == kNone) {
        RW_CHECK(count_ * 2 < cells_.size());
        cells_[at] = {key, value};
        ++count_;
        return;
      }
      if (cells_[at].key == key) {
        cells_[at].value = value;
        return;
      }
    }
  }

  /// Remove `key` if it is there.
  void erase(std::uint64_t key) {
    std::uint64_t hole = home(key);
    while (cells_[hole].value != kNone && cells_[hole].key != key) hole = (hole + 1) & mask_;
    if (cells_[hole].value == kNone) return;
    --count_;
    for (std::uint64_t at = (hole + 1) & mask_; cells_[at].value != kNone; at = (at + 1) & mask_) {
      // An entry may move into the hole unless its home lies cyclically in (hole, at].
      const std::uint64_t distance = (at - home(cells_[at].key)) & mask_;
      if (distance >= ((at - hole) & mask_)) {
        cells_[hole] = cells_[at];
        hole = at;
      }
    }
    cells_[hole] = {};
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  struct Cell {
    std::uint64_t key = 0;
    std::uint32_t value = kNone;
  };

  [[nodiscard]] std::uint64_t home(std::uint64_t key) const { return mix64(key) & mask_; }

  std::vector<Cell> cells_;
  std::uint64_t mask_;
  std::uint64_t count_ = 0;
};

}  // namespace ringwire::worker
