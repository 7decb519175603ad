// A fixed-size map from a 64-bit key to a 32-bit index. Keys are hashes already (seeded, where
// others choose what goes in): their low bits say where they belong. Open addressing with linear
// probing, backward shift on erase (Knuth 6.4, algorithm R), so that it never fills up with tomb
// stones. It has at most half of its places in use, and works in as few of them as that allows: a
// table for 16,384 entries takes half a megabyte, and each look into it would be a cache miss also
// while it holds ten. Moving to a larger or smaller part of its memory is amortised over the puts
// or erases that led to it. Hot; one thread; no allocation after construction.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "engine/worker/index_pool.h"

namespace ringwire::worker {

class HashIndex {
 public:
  /// Never holds more than `max_entries`; the owner's pool bounds those.
  explicit HashIndex(std::uint32_t max_entries)
      : top_cells_(most_cells(max_entries)),
        memory_(2 * top_cells_ - std::min(kLeastCells, top_cells_)) {
    use(std::min(kLeastCells, top_cells_));
  }
  HashIndex(const HashIndex&) = delete;
  HashIndex& operator=(const HashIndex&) = delete;

  [[nodiscard]] static std::uint64_t memory_bytes(std::uint32_t max_entries) {
    return 2 * most_cells(max_entries) * sizeof(Cell);
  }

  /// The index stored under `key`, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const {
    if (count_ == 0) return kNone;
    for (std::uint64_t at = home(key);; at = (at + 1) & mask_) {
      if (cells_[at].value == kNone) return kNone;
      if (cells_[at].key == key) return cells_[at].value;
    }
  }

  /// Store or replace.
  void put(std::uint64_t key, std::uint32_t value) {
    std::uint64_t at = home(key);
    for (; cells_[at].value != kNone; at = (at + 1) & mask_) {
      if (cells_[at].key != key) continue;
      cells_[at].value = value;
      return;
    }
    ++count_;
    if (count_ * 2 > mask_ + 1) {
      RW_CHECK(mask_ + 1 < top_cells_);
      move_to((mask_ + 1) * 2);
      at = free_place(key);
    }
    cells_[at] = {key, value};
  }

  /// Remove `key` if it is there.
  void erase(std::uint64_t key) {
    const std::uint64_t at = place_of(key);
    if (at != kNowhere) erase_at(at);
  }
  /// Remove `key` if it stands for `value`.
  void erase(std::uint64_t key, std::uint32_t value) {
    const std::uint64_t at = place_of(key);
    if (at != kNowhere && cells_[at].value == value) erase_at(at);
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  struct Cell {
    std::uint64_t key = 0;
    std::uint32_t value = kNone;
  };

  /// 8 KiB: two of them beside the messages themselves stay in the first cache.
  static constexpr std::uint64_t kLeastCells = 512;

  [[nodiscard]] static std::uint64_t most_cells(std::uint32_t max_entries) {
    return std::bit_ceil(std::max<std::uint64_t>(std::uint64_t{max_entries} * 2, 2));
  }
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
  [[nodiscard]] std::uint64_t place_of(std::uint64_t key) const {
    if (count_ == 0) return kNowhere;
    for (std::uint64_t at = home(key); cells_[at].value != kNone; at = (at + 1) & mask_)
      if (cells_[at].key == key) return at;
    return kNowhere;
  }
  void erase_at(std::uint64_t hole) {
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
    // An eighth full after the move: as far from moving up again as from moving down once more.
    if (count_ * 16 < mask_ + 1 && mask_ + 1 > kLeastCells) move_to((mask_ + 1) / 2);
  }
  [[nodiscard]] std::uint64_t home(std::uint64_t key) const { return key & mask_; }
  [[nodiscard]] std::uint64_t free_place(std::uint64_t key) const {
    std::uint64_t at = home(key);
    while (cells_[at].value != kNone) at = (at + 1) & mask_;
    return at;
  }
  /// Parts of 512, 1,024, 2,048, ... cells lie behind each other; those not in use are empty.
  void use(std::uint64_t cells) {
    cells_ = memory_.data() + (cells - std::min(kLeastCells, top_cells_));
    mask_ = cells - 1;
  }
  void move_to(std::uint64_t cells) {
    Cell* const old = cells_;
    const std::uint64_t old_cells = mask_ + 1;
    use(cells);
    for (std::uint64_t at = 0; at < old_cells; ++at) {
      if (old[at].value == kNone) continue;
      cells_[free_place(old[at].key)] = old[at];
      old[at] = {};
    }
  }

  std::uint64_t top_cells_;
  std::vector<Cell> memory_;
  Cell* cells_ = nullptr;
  std::uint64_t mask_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace ringwire::worker
