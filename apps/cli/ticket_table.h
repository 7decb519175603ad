// The sends of one bench thread that have no outcome yet: ticket -> when it was due. Open
// addressing with linear probing, fixed at construction, because a node per send from a general map
// would be a visible part of what is measured. One thread; hot.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/hash.h"

namespace ringwire::cli {

class TicketTable {
 public:
  /// `capacity`: the most entries held at once. The table is four times that, so that probes stay
  /// short (under 1.2 on average at a quarter full).
  explicit TicketTable(std::size_t capacity)
      : capacity_(capacity), slots_(std::bit_ceil(capacity * 4)), mask_(slots_.size() - 1) {}

  [[nodiscard]] std::size_t size() const { return count_; }

  /// Add a ticket (not 0, not present). Only below capacity.
  void insert(std::uint64_t ticket, std::int64_t due_ns) {
    RW_CHECK(ticket != 0);
    RW_CHECK(count_ < capacity_);
    std::size_t at = home_of(ticket);
    while (slots_[at].ticket != 0) at = (at + 1) & mask_;
    slots_[at] = {ticket, due_ns};
    ++count_;
  }

  [[nodiscard]] bool contains(std::uint64_t ticket) const {
    std::size_t at = home_of(ticket);
    while (slots_[at].ticket != ticket) {
      if (slots_[at].ticket == 0) return false;
      at = (at + 1) & mask_;
    }
    return true;
  }

  /// Remove a ticket. Returns when it was due; nothing if it is not here.
  std::optional<std::int64_t> take(std::uint64_t ticket) {
    std::size_t at = home_of(ticket);
    while (slots_[at].ticket != ticket) {
      if (slots_[at].ticket == 0) return std::nullopt;
      at = (at + 1) & mask_;
    }
    const std::int64_t due_ns = slots_[at].due_ns;
    close_gap(at);
    --count_;
    return due_ns;
  }

 private:
  struct Slot {
    std::uint64_t ticket = 0;  // 0: free
    std::int64_t due_ns = 0;
  };

  [[nodiscard]] std::size_t home_of(std::uint64_t ticket) const {
    return static_cast<std::size_t>(mix64(ticket)) & mask_;
  }

  // Backward-shift deletion (Knuth, TAOCP vol. 3, 6.4, algorithm R): no tombstones to gather.
  void close_gap(std::size_t gap) {
    std::size_t at = gap;
    for (;;) {
      at = (at + 1) & mask_;
      if (slots_[at].ticket == 0) break;
      const std::size_t wanted_distance = (at - home_of(slots_[at].ticket)) & mask_;
      if (wanted_distance < ((at - gap) & mask_)) continue;
      slots_[gap] = slots_[at];
      gap = at;
    }
    slots_[gap] = {};
  }

  std::size_t capacity_;
  std::vector<Slot> slots_;
  std::size_t mask_;
  std::size_t count_ = 0;
};

}  // namespace ringwire::cli
