// The transmit buffers of a port: a fixed number of equal buffers, allocated once, handed out and
// taken back by address. Not thread-safe; hot; O(1) a buffer, no allocation after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/check.h"
#include "engine/port/port.h"

namespace ringwire::port {

struct PacketPoolOptions {
  std::uint32_t buffers_count = 0;
  std::uint32_t buffer_bytes = 0;
};

class PacketPool {
 public:
  explicit PacketPool(PacketPoolOptions options)
      : capacity_bytes_(options.buffer_bytes),
        stride_bytes_(stride_of(options.buffer_bytes)),
        buffers_count_(options.buffers_count),
        memory_(new std::byte[stride_bytes_ * options.buffers_count]),
        is_out_(options.buffers_count, 0) {
    free_.reserve(buffers_count_);
    for (std::uint32_t index = buffers_count_; index > 0; --index) free_.push_back(index - 1);
  }

  /// Fills `packets` from the front; returns how many. The buffers belong to the caller until given
  /// back. The last one returned is the first one given: it is the one still in the cache.
  std::size_t alloc(std::span<TxPacket> packets) {
    std::size_t count = 0;
    while (count < packets.size() && !free_.empty()) {
      const std::uint32_t index = free_.back();
      free_.pop_back();
      is_out_[index] = 1;
      packets[count++] =
          TxPacket{memory_.get() + index * stride_bytes_, capacity_bytes_, 0, DestinationId{}};
    }
    return count;
  }

  /// Takes one buffer back. A buffer that is not ours, or given back twice, is a bug of the caller.
  void give_back(const TxPacket& packet) {
    const auto offset_bytes = static_cast<std::size_t>(packet.data - memory_.get());
    const std::size_t index = offset_bytes / stride_bytes_;
    RW_CHECK(index < buffers_count_);
    RW_CHECK(is_out_[index] == 1);
    is_out_[index] = 0;
    free_.push_back(static_cast<std::uint32_t>(index));
  }

  [[nodiscard]] std::size_t free_count() const { return free_.size(); }

 private:
  /// An odd number of cache lines, so that the headers of successive buffers do not all fall into
  /// one set of the cache.
  static std::size_t stride_of(std::uint32_t bytes) {
    constexpr std::size_t kLineBytes = 64;
    return ((bytes + kLineBytes - 1) / kLineBytes | 1) * kLineBytes;
  }

  std::uint32_t capacity_bytes_;
  std::size_t stride_bytes_;
  std::uint32_t buffers_count_;
  std::unique_ptr<std::byte[]> memory_;
  std::vector<std::uint8_t> is_out_;
  std::vector<std::uint32_t> free_;
};

}  // namespace ringwire::port
