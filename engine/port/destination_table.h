// The destinations opened at a port: dense ids to whatever the port keeps for each (a socket
// address, an Ethernet header). Fixed capacity. Not thread-safe; find() is hot, the rest is cold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/check.h"
#include "engine/port/port.h"

namespace ringwire::port {

/// Destinations that one port keeps, unless its options say otherwise. 16,384: 1,024 nodes of 16
/// workers each, at most 64 bytes an entry: 1 MiB.
inline constexpr std::uint32_t kMaxDestinations = 16'384;

template <typename T>
class DestinationTable {
 public:
  explicit DestinationTable(std::uint32_t capacity_count) : capacity_count_(capacity_count) {
    entries_.reserve(capacity_count);
    free_.reserve(capacity_count);
  }

  /// Nothing when the table is full.
  std::optional<DestinationId> open(const T& value) {
    if (free_.empty() && entries_.size() == capacity_count_) return std::nullopt;
    if (free_.empty()) {
      entries_.push_back({value, true});
      return DestinationId{static_cast<std::uint32_t>(entries_.size() - 1)};
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    entries_[index] = {value, true};
    return DestinationId{index};
  }

  void close(DestinationId destination) {
    const auto index = static_cast<std::uint32_t>(destination);
    RW_CHECK(index < entries_.size());
    RW_CHECK(entries_[index].is_open);
    entries_[index].is_open = false;
    free_.push_back(index);
  }

  /// Null when the destination is not open.
  [[nodiscard]] T* find(DestinationId destination) {
    const auto index = static_cast<std::uint32_t>(destination);
    if (index >= entries_.size() || !entries_[index].is_open) return nullptr;
    return &entries_[index].value;
  }

 private:
  struct Entry {
    T value{};
    bool is_open = false;
  };
  std::uint32_t capacity_count_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> free_;
};

}  // namespace ringwire::port
