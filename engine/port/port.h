// A door to a network: sends and receives UDP payloads in bursts. One object per worker and queue;
// all calls from that worker's thread. Implementations: kernel UDP socket, DPDK device queue,
// simulated network, and a seeded fault decorator around any of them. One conformance suite holds
// for all (tests/conformance). A port may lose, duplicate, reorder and truncate nothing on purpose,
// but its users must survive all four. Hot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/endpoint.h"
#include "base/time.h"

namespace ringwire::port {

/// Packets that one rx_burst or tx_burst moves at most. 64: at 9 KB frames one burst (576 KB) still
/// fits a 1 MiB L2 cache; larger bursts gain nothing measurable.
inline constexpr std::size_t kBurstPackets = 64;

/// Bytes of the receive queue that one packet takes at least, however short it is: a queue of
/// receive_queue_bytes() holds packets whose sizes, each rounded up to this, sum up to no more.
/// 1,024: a kernel charges 832 bytes for an empty datagram and up to 2,304 for one of 700, of a
/// queue of which we announce a quarter (socket_port.h); a device has one descriptor a packet.
inline constexpr std::uint32_t kPacketChargeBytes = 1'024;

/// A destination opened at a port; small, dense, valid until closed.
enum class DestinationId : std::uint32_t {};

/// One received UDP payload.
struct RxPacket {
  std::span<const std::byte> bytes;  ///< owned by the port, valid until its next rx_burst
  Endpoint source;
  DurationNs waited_ns = 0;  ///< in this host's receive queue, as far as the port knows
};

/// One buffer for a UDP payload to send.
struct TxPacket {
  std::byte* data = nullptr;  ///< owned by the port; writable until given to tx_burst or tx_free
  std::uint32_t capacity_bytes = 0;  ///< at least Port::max_payload_bytes()
  std::uint32_t bytes = 0;      ///< payload length, set by the caller, 1 .. max_payload_bytes()
  DestinationId destination{};  ///< set by the caller
  /// Bytes that stand in the payload after the first `gather_at_bytes` of `data`, read in place by
  /// the tx_burst that takes the packet and counted in `bytes`. Only for a port that gathers();
  /// still the caller's memory: before it goes, and the packet is still here, gather_now().
  std::span<const std::byte> gathered{};
  std::uint32_t gather_at_bytes = 0;

  /// Bytes that stand in `data`.
  [[nodiscard]] std::size_t own_bytes() const { return bytes - gathered.size(); }
  /// Copy what is gathered to its place in `data`.
  void gather_now();
};

inline void TxPacket::gather_now() {
  if (gathered.empty()) return;
  std::memmove(data + gather_at_bytes + gathered.size(), data + gather_at_bytes,
               own_bytes() - gather_at_bytes);
  std::memcpy(data + gather_at_bytes, gathered.data(), gathered.size());
  gathered = {};
  gather_at_bytes = 0;
}

/// Single-writer counters (the worker writes, anybody may read a stale value).
struct PortCounters {
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t rx_errors = 0;  ///< truncated, wrong checksum, not for us
  std::uint64_t tx_errors = 0;  ///< refused by the kernel or device for good (not "queue full")
  std::uint64_t tx_full = 0;    ///< times a tx_burst could not take all packets
  std::uint64_t buffers_exhausted = 0;  ///< times tx_alloc gave fewer than asked
  std::uint64_t system_calls = 0;
  std::uint64_t handed_over = 0;  ///< packets that came here and were given to another worker
};

class Port {
 public:
  virtual ~Port() = default;

  /// Largest UDP payload that this port can send and receive whole, headers not counted.
  [[nodiscard]] virtual std::uint32_t max_payload_bytes() const = 0;
  /// Bytes of payload that the receive queue is sure to hold: what peers may keep in flight to us,
  /// each packet counted with kPacketChargeBytes or its payload, whichever is more.
  [[nodiscard]] virtual std::uint64_t receive_queue_bytes() const = 0;
  /// Whether a packet may have `gathered` bytes: where the kernel or the simulated network copies
  /// a packet anyway, that copy is the only one.
  [[nodiscard]] virtual bool gathers() const { return false; }
  /// The address that this port receives on.
  [[nodiscard]] virtual Endpoint local() const = 0;

  /// Prepare to send to `remote`. Returns false when the table is full (the limit has a name in the
  /// implementation), or when `remote` is of an address family that this port cannot reach. Cold.
  virtual bool open_destination(const Endpoint& remote, DestinationId& destination) = 0;
  virtual void close_destination(DestinationId destination) = 0;

  /// Receive up to packets.size() payloads. Returns how many; 0 when none wait. Packets returned by
  /// the call before this one become invalid.
  virtual std::size_t rx_burst(std::span<RxPacket> packets) = 0;

  /// Take buffers to write payloads into. Returns how many of `packets` were filled in (from the
  /// front). Each must go to tx_burst or tx_free.
  virtual std::size_t tx_alloc(std::span<TxPacket> packets) = 0;

  /// Send from the front. Returns how many were taken; those belong to the port again, the rest
  /// stay with the caller, to be offered again later or given to tx_free. A packet that can never
  /// be sent counts as taken, and in tx_errors: for the protocol it is a lost packet. Whether the
  /// bytes are on their way when this returns, or only after flush(), is the port's choice.
  virtual std::size_t tx_burst(std::span<const TxPacket> packets) = 0;
  virtual void tx_free(std::span<const TxPacket> packets) = 0;

  /// Push out what tx_burst may have kept back for batching. Called once at the end of a turn.
  virtual void flush() = 0;

  /// A descriptor that becomes readable when a packet waits, to be trusted only after an rx_burst
  /// that returned 0 (earlier ones may have left packets inside the port), or -1: then the worker
  /// must poll, and never sleeps longer than kPollOnlyNapNs.
  [[nodiscard]] virtual int wait_descriptor() const = 0;

  [[nodiscard]] virtual const PortCounters& counters() const = 0;
};

}  // namespace ringwire::port
