// A port over a kernel UDP socket, IPv4 or IPv6 as the bind address says. Sends runs of equal
// packets to one destination as one segmentation-offload call (UDP_SEGMENT) and receives coalesced
// ones (UDP_GRO) where the kernel has them; falls back to single packets where it has not. All
// memory is allocated at construction. Owned by one worker, called by its thread only. Hot, except
// open().
//
// Sizes of the receive queue. The kernel charges a datagram with its buffer's true size, not with
// its payload. Measured on Linux 6.18 over loopback (granted = what getsockopt(SO_RCVBUF) says,
// held = payload in the queue at the first drop): 8,944 B frames sent by GSO 0.88 to 0.98, sent
// singly 0.53; 2,049 B 0.47; 1,400 B 0.61; 64 B 0.077 (832 bytes a packet). Up to a quarter of the
// granted size can be memory of packets already read, which the kernel gives back in batches
// (udp_rmem_release). So a quarter of the granted size, with each packet counted as at least
// kPacketChargeBytes, is always held: the worst case is 1,650 B of payload in 4,352 B of memory,
// 4,352 / 1,650 = 2.7 < 4 x 3/4.
//
// Link-local IPv6 addresses need a zone and are not supported.
#pragma once

#include <cstdint>
#include <memory>

#include "base/endpoint.h"
#include "base/result.h"
#include "engine/port/destination_table.h"
#include "engine/port/port.h"
#include "engine/port/port_error.h"

namespace ringwire::port {

/// 8,944: seven of them (62,608 B) are one segmentation-offload send of at most 64 KiB, and with
/// IPv6 and UDP headers (48 B) one fits the usual jumbo MTU of 9,000.
inline constexpr std::uint32_t kDefaultSocketPayloadBytes = 8'944;

enum class Offload {
  kAuto,  ///< UDP_SEGMENT and UDP_GRO where the kernel has them
  kOff,   ///< one datagram per packet, as on a kernel that has neither
};

struct SocketPortOptions {
  Endpoint bind;                                             ///< port 0: any free one
  std::uint32_t payload_bytes = kDefaultSocketPayloadBytes;  ///< largest payload wanted
  std::uint32_t mtu_bytes = 65'535;  ///< of the path, IP header included; limits the payload
  std::uint32_t receive_buffer_bytes = 4U << 20;  ///< asked of the kernel; it may grant less
  std::uint32_t send_buffer_bytes = 4U << 20;     ///< asked of the kernel; it may grant less
  /// Transmit buffers: 512 = 64 to fill now + 448 that wait while the kernel is full.
  std::uint32_t tx_buffers_count = 512;
  std::uint32_t destinations_count = kMaxDestinations;
  Offload offload = Offload::kAuto;
  /// The clock of the kernel's arrival stamps (CLOCK_REALTIME): with it, received packets say how
  /// long they waited. Only differences to the stamps are made of it.
  TimeNs (*wall_clock)() = nullptr;
};

class SocketPort final : public Port {
 public:
  /// Errors: kBadOptions, kAddressInUse, kAddressNotAvailable, kPermission, kUnsupported (no such
  /// address family), kSystem.
  static Result<std::unique_ptr<SocketPort>, PortError> open(const SocketPortOptions& options);
  ~SocketPort() override;
  SocketPort(const SocketPort&) = delete;
  SocketPort& operator=(const SocketPort&) = delete;

  [[nodiscard]] std::uint32_t max_payload_bytes() const override;
  [[nodiscard]] std::uint64_t receive_queue_bytes() const override;
  [[nodiscard]] bool gathers() const override { return true; }
  [[nodiscard]] Endpoint local() const override;
  bool open_destination(const Endpoint& remote, DestinationId& destination) override;
  void close_destination(DestinationId destination) override;
  std::size_t rx_burst(std::span<RxPacket> packets) override;
  std::size_t tx_alloc(std::span<TxPacket> packets) override;
  std::size_t tx_burst(std::span<const TxPacket> packets) override;
  void tx_free(std::span<const TxPacket> packets) override;
  void flush() override {}  // tx_burst keeps nothing back
  [[nodiscard]] int wait_descriptor() const override;
  [[nodiscard]] const PortCounters& counters() const override;

  /// Whether sends are batched by the kernel now; it turns false for good when the kernel or the
  /// device behind it refuses.
  [[nodiscard]] bool segments_on_send() const;
  /// Whether the kernel may hand over several packets at once.
  [[nodiscard]] bool coalesces_on_receive() const;

 private:
  struct State;
  explicit SocketPort(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringwire::port
