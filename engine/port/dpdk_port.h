// A port over one receive and one transmit queue of a DPDK device, one for each worker. Speaks
// Ethernet, VLAN, IPv4 or IPv6, and UDP itself (dpdk_frame.h), and does what a host owes its
// neighbours (neighbours.h). Owned by one worker, called by its thread only, which polls: there is
// no descriptor to wait on. Hot, except open(). No rte_ name appears here.
//
// A packet for worker j that arrives in the queue of worker i (the device cannot steer by UDP port,
// or a virtual one has its own mind) is handed over through a ring, and dropped where that is full.
// What teaches who is where (an ARP reply, an advertisement) goes to the other workers as well,
// each of which keeps its own table. A packet to an address that is not known yet waits for it, up
// to a second; a bounded number do, the rest is lost as on any network.
//
// The receive queue is certain to hold one packet per receive descriptor; a net_memif device must
// have at least as many ring slots (rsize=10 for 1,024), each of a whole frame (bsize=9216).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/result.h"
#include "engine/port/destination_table.h"
#include "engine/port/neighbours.h"
#include "engine/port/port.h"
#include "engine/port/port_error.h"

namespace ringwire::port {

struct DpdkPortOptions {
  std::string device;  ///< DPDK's name: a PCI address or a virtual device's name
  Endpoint local;      ///< our address, and worker 0's UDP port; nobody else has it
  std::optional<IpAddress> gateway{};
  std::uint32_t prefix_bits = 0;        ///< of the link's network; used with a gateway
  std::uint16_t vlan = 0;               ///< 0: no tag
  std::uint32_t queues_count = 1;       ///< one a worker
  std::uint32_t mtu_bytes = 0;          ///< of the link, IP header included; 0: the device's
  std::uint32_t payload_bytes = 8'944;  ///< largest payload wanted; the MTU limits it further
  std::uint16_t rx_descriptors_count = 1'024;
  std::uint16_t tx_descriptors_count = 1'024;
  std::uint32_t tx_buffers_count = 512;  ///< that a caller may hold at a time
  std::uint32_t destinations_count = kMaxDestinations;
  /// Have DPDK's interrupt thread ask after the link ten times a second, tell of changes, and
  /// connect a net_memif client again. Without, the owner asks is_link_up() while the link is down.
  bool watches_link = false;
};

class DpdkDevice;

class DpdkPort final : public Port {
 public:
  /// The ports of all workers. DPDK must have been started (dpdk_eal.h) and must outlive them. The
  /// device is closed with the last of them. Errors: kBadOptions (no such device, or limits that it
  /// does not have), kAddressInUse (a port of this process has the device), kUnsupported, kSystem.
  static Result<std::vector<std::unique_ptr<DpdkPort>>, PortError> open_all(
      const DpdkPortOptions& options);
  /// The same with one queue.
  static Result<std::unique_ptr<DpdkPort>, PortError> open(const DpdkPortOptions& options);
  /// Bytes that each port with such options takes; an MTU of 0 counts as 1,500.
  [[nodiscard]] static std::uint64_t memory_bytes(const DpdkPortOptions& options);
  ~DpdkPort() override;
  DpdkPort(const DpdkPort&) = delete;
  DpdkPort& operator=(const DpdkPort&) = delete;

  [[nodiscard]] std::uint32_t max_payload_bytes() const override;
  [[nodiscard]] std::uint64_t receive_queue_bytes() const override;
  [[nodiscard]] Endpoint local() const override;
  bool open_destination(const Endpoint& remote, DestinationId& destination) override;
  void close_destination(DestinationId destination) override;
  std::size_t rx_burst(std::span<RxPacket> packets) override;
  std::size_t tx_alloc(std::span<TxPacket> packets) override;
  std::size_t tx_burst(std::span<const TxPacket> packets) override;
  void tx_free(std::span<const TxPacket> packets) override;
  void flush() override {}
  [[nodiscard]] int wait_descriptor() const override { return -1; }
  [[nodiscard]] const PortCounters& counters() const override;
  [[nodiscard]] const NeighbourCounters& neighbour_counters() const;

  /// Whether the link is up. Cold. Some devices (net_memif as client) connect only when asked this.
  [[nodiscard]] bool is_link_up();
  /// Whether the device itself puts each worker's packets into that worker's queue (rte_flow); else
  /// workers hand over what is not theirs. Cold.
  [[nodiscard]] bool is_steered() const;
  /// Of the link, in Mbit/s; 0: the device does not say. Cold.
  [[nodiscard]] std::uint32_t link_mbits() const;
  /// Whether packets to that destination leave at once: the next hop's Ethernet address is known.
  [[nodiscard]] bool knows(DestinationId destination) const;

 private:
  struct State;
  explicit DpdkPort(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringwire::port
