// Two DPDK devices of this process that are each other's wire: what one sends is in the other's
// receive queue, in the same buffers (net_ring). And frames of any kind, sent past the port. Cold;
// knows rte_ names inside only.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace ringwire::port::conformance {

/// Each with `queues_count` pairs of queues that hold 1,024 packets. False when DPDK refuses.
bool make_ring_pair(const std::string& a, const std::string& b, unsigned queues_count);

using Bytes = std::vector<std::byte>;

/// Puts a frame into queue 0 of whoever is wired to `device`, whose port is open; each of `pieces`
/// in a buffer of its own, chained. False when there is no room.
bool send_frame(const std::string& device, std::span<const Bytes> pieces);

/// The frames that `device` has received, taken past its port.
std::vector<Bytes> take_frames(const std::string& device);

/// All buffers that the first queue's pool of `device` has left, held as long as this lives.
class HeldBuffers {
 public:
  explicit HeldBuffers(const std::string& device);
  ~HeldBuffers();
  HeldBuffers(const HeldBuffers&) = delete;
  HeldBuffers& operator=(const HeldBuffers&) = delete;
  [[nodiscard]] std::size_t count() const { return buffers_.size(); }

 private:
  std::vector<void*> buffers_;
};

}  // namespace ringwire::port::conformance
