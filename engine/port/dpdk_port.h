// A port over one receive and one transmit queue of a DPDK device. Builds and checks the Ethernet,
// IPv4 or IPv6, and UDP headers itself, checksums in software, on any device that takes a frame in
// one buffer. Owned by one worker, called by its thread only, which polls: there is no descriptor
// to wait on. Hot, except open(). No rte_ name appears here.
//
// First version. A peer's Ethernet address is the one given in the options, else broadcast until a
// packet of that peer teaches it: only for addresses that a destination is open to, and only from
// packets that are otherwise right. ARP, neighbour discovery and ICMP echo are not answered, there
// is no gateway, no VLAN, and no checksum or segmentation offload: they come with the step that
// makes this port whole.
//
// The receive queue is certain to hold one packet per receive descriptor; a net_memif device must
// have at least as many ring slots (rsize=10 for 1,024), each of a whole frame (bsize=9216).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/endpoint.h"
#include "base/result.h"
#include "engine/port/destination_table.h"
#include "engine/port/port.h"
#include "engine/port/port_error.h"

namespace ringwire::port {

using EthernetAddress = std::array<std::uint8_t, 6>;

struct DpdkPortOptions {
  std::string device;                   ///< DPDK's name: a PCI address or a virtual device's name
  Endpoint local;                       ///< our address and UDP port; nobody else configures it
  std::uint32_t mtu_bytes = 9'000;      ///< of the link, IP header included
  std::uint32_t payload_bytes = 8'944;  ///< largest payload wanted; the MTU limits it further
  std::uint16_t rx_descriptors_count = 1'024;
  std::uint16_t tx_descriptors_count = 1'024;
  std::uint32_t tx_buffers_count = 512;  ///< that the caller may hold at a time
  std::uint32_t destinations_count = kMaxDestinations;
  std::optional<EthernetAddress> peer_ethernet;  ///< of every peer, until learned otherwise
};

class DpdkPort final : public Port {
 public:
  /// DPDK must have been started (dpdk_eal.h) and must outlive the port. Closing the port closes
  /// the device. Errors: kBadOptions (no such device, or limits that it does not have),
  /// kAddressInUse (another port of this process has the device), kUnsupported, kSystem.
  static Result<std::unique_ptr<DpdkPort>, PortError> open(const DpdkPortOptions& options);
  /// Bytes that a port with such options takes.
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

  /// Whether the link is up. Cold. Some devices (net_memif as client) connect only when asked this,
  /// so whoever owns the port asks now and then while the answer is no.
  [[nodiscard]] bool is_link_up();

 private:
  struct State;
  explicit DpdkPort(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringwire::port
