// A port that wraps another and mistreats its packets, both ways, by a seeded mix of faults: for
// tests and for trying a cluster under loss. With all faults off it changes nothing. One thread;
// no system call of its own, no allocation after construction.
//
// Packets held back (reorder, delay) come out again after so many later packets, or bursts: calls
// of rx_burst on the receiving side, of flush on the sending side. A worker that sleeps makes none,
// so a held packet may wait for the worker's next wake-up; to the protocol it is a slow packet.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/result.h"
#include "engine/port/port.h"

namespace ringwire::port {

enum class FaultSide { kBoth, kTx, kRx };

/// Probabilities are from 0 to 1, per packet and side. At most one fault befalls a packet; they are
/// drawn in the order given here.
struct FaultOptions {
  double loss = 0;
  double burst = 0;  ///< this and the next burst_packets - 1 packets are lost
  std::uint32_t burst_packets = 8;
  double reorder = 0;  ///< held back until reorder_packets later ones have passed
  std::uint32_t reorder_packets = 3;
  double delay = 0;  ///< held back for delay_bursts bursts
  std::uint32_t delay_bursts = 4;
  double duplicate = 0;
  double corrupt = 0;                 ///< one byte becomes another
  double truncate = 0;                ///< the tail is cut off; at least one byte stays
  std::uint32_t largest = 1'000'000;  ///< payload bytes: longer packets vanish, as on a narrow path
  FaultSide side = FaultSide::kBoth;
  std::uint64_t seed = 1;
};

/// Reads "loss=0.05,dup=0.01,reorder=0.02,corrupt=0.001,seed=3". Names: loss, burst, burst_packets,
/// reorder, reorder_packets, delay, delay_bursts, dup, corrupt, truncate, largest, side (both, tx,
/// rx), seed. The empty text is no fault. The error is a sentence that quotes the wrong part.
Result<FaultOptions, std::string> parse_fault_options(std::string_view text);

struct FaultCounters {
  std::uint64_t packets = 0;
  std::uint64_t lost = 0;  ///< by loss and burst
  std::uint64_t reordered = 0;
  std::uint64_t delayed = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t truncated = 0;
};

class FaultPort final : public Port {
 public:
  /// Packets that may be held back on each side; with more, the fault is not done.
  static constexpr std::size_t kHeldPackets = 64;
  /// A reordered packet comes out after so many bursts even if nothing passes it.
  static constexpr std::uint32_t kReorderBursts = 16;

  FaultPort(std::unique_ptr<Port> inner, const FaultOptions& options);
  ~FaultPort() override;
  FaultPort(const FaultPort&) = delete;
  FaultPort& operator=(const FaultPort&) = delete;

  [[nodiscard]] std::uint32_t max_payload_bytes() const override;
  [[nodiscard]] std::uint64_t receive_queue_bytes() const override;
  [[nodiscard]] Endpoint local() const override;
  bool open_destination(const Endpoint& remote, DestinationId& destination) override;
  void close_destination(DestinationId destination) override;
  std::size_t rx_burst(std::span<RxPacket> packets) override;
  std::size_t tx_alloc(std::span<TxPacket> packets) override;
  std::size_t tx_burst(std::span<const TxPacket> packets) override;
  void tx_free(std::span<const TxPacket> packets) override;
  void flush() override;
  [[nodiscard]] int wait_descriptor() const override;
  /// Of the port inside: what was lost here on the way out is in none of them.
  [[nodiscard]] const PortCounters& counters() const override;

  [[nodiscard]] const FaultCounters& tx_faults() const { return tx_.counters; }
  [[nodiscard]] const FaultCounters& rx_faults() const { return rx_.counters; }

 private:
  enum class Fault { kNone, kLose, kReorder, kDelay, kDuplicate, kCorrupt, kTruncate };

  struct Drawn {
    Fault fault = Fault::kNone;
    std::size_t at = 0;              ///< corrupted byte, or length after truncation
    std::byte change = std::byte{};  ///< what the corrupted byte is xor-ed with
  };
  /// What draws the faults of one direction.
  struct Dice {
    explicit Dice(std::uint64_t seed) : random(seed) {}
    Random random;
    std::uint32_t burst_left = 0;
    FaultCounters counters;
  };
  /// How long a packet is still held back.
  struct Hold {
    std::uint32_t packets_left = 0;
    std::uint32_t bursts_left = 0;
    [[nodiscard]] bool is_due() const { return packets_left == 0 || bursts_left == 0; }
  };
  struct HeldTx {
    TxPacket packet;
    Hold hold;
  };
  struct HeldRx {
    std::uint32_t buffer = 0;
    std::size_t bytes = 0;
    Endpoint source;
    Hold hold;
  };

  [[nodiscard]] Drawn draw(Dice& dice, FaultSide side, std::size_t bytes) const;
  static void count(FaultCounters& counters, Fault fault);
  [[nodiscard]] Hold hold_of(Fault fault) const;

  // Receiving. Own buffers hold what outlives the inner port's.
  [[nodiscard]] bool keep_copy(const RxPacket& packet, HeldRx& held);
  void on_received(RxPacket packet, std::span<RxPacket> packets, std::size_t& count);
  void release_rx(std::span<RxPacket> packets, std::size_t& count);
  void hand_out(const HeldRx& held, std::span<RxPacket> packets, std::size_t& count);
  [[nodiscard]] std::byte* buffer_of(std::uint32_t buffer) const;

  // Sending.
  struct Outgoing {
    TxPacket packet;
    std::size_t origin = 0;  ///< index into the caller's burst, or kInjected
  };
  static constexpr std::size_t kInjected = ~std::size_t{0};
  void prepare(std::span<const TxPacket> burst);
  [[nodiscard]] std::size_t send_outgoing();
  void settle(std::span<const TxPacket> burst, std::size_t taken);
  void release_tx();
  [[nodiscard]] bool duplicate(const TxPacket& packet);

  std::unique_ptr<Port> inner_;
  FaultOptions options_;
  Dice tx_;
  Dice rx_;

  std::size_t capacity_bytes_;
  std::unique_ptr<std::byte[]> memory_;
  std::array<std::uint32_t, 3 * kHeldPackets> free_buffers_{};
  std::size_t free_buffers_count_ = 0;
  std::array<std::uint32_t, 3 * kHeldPackets> handed_out_{};
  std::size_t handed_out_count_ = 0;
  std::array<HeldRx, kHeldPackets> held_rx_{};
  std::size_t held_rx_count_ = 0;
  std::array<RxPacket, kBurstPackets> received_{};

  std::array<HeldTx, kHeldPackets> held_tx_{};
  std::size_t held_tx_count_ = 0;
  std::array<Drawn, kBurstPackets> drawn_{};
  std::array<Outgoing, 2 * kBurstPackets> outgoing_{};  ///< each packet and its duplicate
  std::size_t outgoing_count_ = 0;
};

}  // namespace ringwire::port
