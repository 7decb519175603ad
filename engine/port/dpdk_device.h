// One DPDK device, set up for our workers: a receive and a transmit queue, a pool and a hand-over
// ring for each. Opened once, shared by the ports of its queues, closed with the last of them.
// Knows rte_ names; for engine/port/dpdk_* only. Cold; what the ports read in it never changes.
#pragma once

#include <rte_mempool.h>
#include <rte_ring.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "engine/port/dpdk_frame.h"
#include "engine/port/dpdk_port.h"
#include "engine/port/port_error.h"

namespace ringwire::port {

/// Packets that wait for a worker after another one's queue got them: four bursts.
inline constexpr std::uint32_t kInboxPackets = 256;
/// Packets that wait for the Ethernet address of their next hop.
inline constexpr std::size_t kWaitingPackets = 128;

class DpdkDevice {
 public:
  static Result<std::shared_ptr<DpdkDevice>, PortError> open(const DpdkPortOptions& options);
  ~DpdkDevice();
  DpdkDevice(const DpdkDevice&) = delete;
  DpdkDevice& operator=(const DpdkDevice&) = delete;

  struct Queue {
    rte_mempool* pool = nullptr;
    rte_ring* inbox = nullptr;  ///< many producers, one consumer; null where there is one worker
  };

  [[nodiscard]] std::uint16_t id() const { return id_; }
  [[nodiscard]] const FrameRules& rules() const { return rules_; }
  [[nodiscard]] const DpdkPortOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<Queue>& queues() const { return queues_; }
  [[nodiscard]] bool is_link_up() const;
  [[nodiscard]] bool is_steered() const { return is_steered_; }
  [[nodiscard]] std::uint32_t link_mbits() const;
  /// Buffers that one worker's pool has, and the bytes of one of them.
  [[nodiscard]] static std::uint32_t buffers_count(const DpdkPortOptions& options);
  [[nodiscard]] static std::uint32_t buffer_bytes(std::uint32_t frame_bytes);

 private:
  explicit DpdkDevice(const DpdkPortOptions& options) : options_(options) {}
  std::optional<PortError> find();
  std::optional<PortError> choose_limits();
  std::optional<PortError> make_queues();
  std::optional<PortError> start();
  std::optional<PortError> set_up_queues();
  void name_device();
  void receive_groups();
  void steer();
  void watch_link();
  static void look_at_link(void* device);

  DpdkPortOptions options_;
  FrameRules rules_;
  std::uint16_t id_ = 0;
  bool is_ours_ = false;
  bool is_started_ = false;
  bool is_memif_ = false;
  bool is_steered_ = false;
  std::uint64_t rx_offloads_ = 0;
  std::uint64_t tx_offloads_ = 0;
  std::uint64_t rss_ = 0;
  int log_ = 0;
  bool was_up_ = false;  ///< DPDK's interrupt thread only
  std::vector<Queue> queues_;
};

}  // namespace ringwire::port
