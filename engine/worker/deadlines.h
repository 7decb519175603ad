// When which message times out: a binary heap of (time, index, generation) with a fixed capacity.
// Entries of messages that ended meanwhile are skipped when they come up (their generation is
// stale). Hot; one thread; no allocation after construction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "base/touched.h"

namespace ringwire::worker {

class Deadlines {
 public:
  struct Entry {
    TimeNs at = 0;
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
  };

  explicit Deadlines(std::size_t capacity) : capacity_(capacity) {
    reserve_touched(heap_, capacity);
  }
  [[nodiscard]] static constexpr std::uint64_t memory_bytes(std::uint64_t capacity) {
    return capacity * sizeof(Entry);
  }

  [[nodiscard]] bool full() const { return heap_.size() == capacity_; }
  [[nodiscard]] TimeNs next_ns() const { return heap_.empty() ? kNeverNs : heap_.front().at; }

  /// Only when not full.
  void add(Entry entry) {
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  /// The earliest entry, taken out. Only when next_ns() is not kNeverNs.
  Entry pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Entry entry = heap_.back();
    heap_.pop_back();
    return entry;
  }
  /// Drop the entries for which `stale` holds: makes room when messages end much earlier than due.
  template <typename Stale>
  void sweep(Stale stale) {
    std::erase_if(heap_, stale);
    std::make_heap(heap_.begin(), heap_.end(), later);
  }

 private:
  static bool later(const Entry& left, const Entry& right) { return left.at > right.at; }

  std::size_t capacity_;
  std::vector<Entry> heap_;
};

}  // namespace ringwire::worker
