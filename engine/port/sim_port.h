// A simulated network and its ports: virtual time, one thread, every fault drawn from one seed, so
// that the same calls give the same packets in the same order. No clock, no system call, and after
// the cold calls (marked) no allocation. Packets sent at the time last given to advance() are
// delivered by a later advance(). The network must outlive its ports.
//
// A path is one direction between two end points: a bottleneck (rate and queue), then a delay. What
// happens to a packet, in this order: cut, too large for the MTU, lost, queue full; then, arriving:
// corrupted, duplicated, reordered (delayed past later ones); then the receiver's queue may be
// full, or nobody be there.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/endpoint.h"
#include "base/random.h"
#include "base/time.h"
#include "engine/port/destination_table.h"
#include "engine/port/packet_pool.h"
#include "engine/port/port.h"

namespace ringwire::port {

class SimPort;

enum class Direction { kOpen, kCut };

/// One direction between two end points. Probabilities are from 0 to 1, per packet.
struct SimPath {
  DurationNs delay_ns = 50 * kMicrosecondNs;
  DurationNs jitter_ns = 0;              ///< added to the delay, uniform from 0; keeps the order
  std::uint64_t bytes_per_s = 0;         ///< rate of the bottleneck; 0: no bottleneck
  std::uint64_t queue_bytes = 1U << 20;  ///< that may wait at the bottleneck
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;
  DurationNs reorder_delay_ns = kMillisecondNs;  ///< a reordered packet's extra delay, at most
  double corrupt = 0;                            ///< one byte becomes another
  std::uint32_t mtu_bytes = 65'535;              ///< headers of IP and UDP (28 or 48) included
  Direction direction = Direction::kOpen;        ///< kCut: nothing gets through
};

/// The last link to one end point, which all paths to it share: where an incast queues.
struct SimLink {
  std::uint64_t bytes_per_s = 0;         ///< 0: no bottleneck
  std::uint64_t queue_bytes = 1U << 20;  ///< that may wait
};

/// What became of packets, by reason; single-writer.
struct SimCounters {
  std::uint64_t sent = 0;
  std::uint64_t delivered = 0;
  std::uint64_t cut = 0;
  std::uint64_t too_large = 0;
  std::uint64_t lost = 0;
  std::uint64_t path_queue_full = 0;
  std::uint64_t link_queue_full = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t receive_queue_full = 0;
  std::uint64_t nobody_there = 0;
  std::uint64_t flights_exhausted = 0;  ///< more packets under way than SimOptions::flights_count
};

struct SimOptions {
  std::uint64_t seed = 1;
  std::uint32_t flights_count = 16'384;     ///< packets under way or in receive queues, at most
  std::uint32_t max_payload_bytes = 9'000;  ///< no port may have more
};

struct SimPortOptions {
  Endpoint local;  ///< not taken by another port of the network
  std::uint32_t payload_bytes = 8'944;
  std::uint64_t receive_queue_bytes = 1U << 20;
  std::uint32_t tx_buffers_count = 512;
  std::uint32_t destinations_count = 1'024;
};

class SimNetwork {
 public:
  explicit SimNetwork(const SimOptions& options);
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  /// Cold. The local end point must be free: two ports of one address are a bug of the test. A port
  /// destroyed and made again at its address gets what is still under way, as after a restart.
  [[nodiscard]] std::unique_ptr<SimPort> make_port(const SimPortOptions& options);

  /// Cold. Of all paths that set_path has not named.
  void set_default_path(const SimPath& path);
  /// Cold. One direction; packets already under way keep what was drawn for them.
  void set_path(const Endpoint& from, const Endpoint& to, const SimPath& path);
  /// Cold. The link that all packets to `to` go over, after their path. Its order is that of
  /// sending.
  void set_link(const Endpoint& to, const SimLink& link);
  /// What set_path or set_default_path said.
  [[nodiscard]] SimPath path(const Endpoint& from, const Endpoint& to) const;

  /// Delivers what is due, and makes `now` the time of later sends. Time never goes back.
  void advance(TimeNs now);
  /// When the next packet arrives, or kNeverNs.
  [[nodiscard]] TimeNs next_event_ns() const;
  [[nodiscard]] TimeNs now_ns() const { return now_ns_; }
  [[nodiscard]] const SimCounters& counters() const { return counters_; }

 private:
  friend class SimPort;

  static constexpr std::uint32_t kNone = 0xffff'ffff;

  struct Flight {
    std::uint32_t bytes = 0;
    std::uint32_t next = kNone;  ///< in a receive queue, or in the free list
    TimeNs arrived_ns = 0;
    Endpoint source;
    Endpoint target;
  };
  struct Arrival {
    TimeNs at_ns = 0;
    std::uint64_t order = 0;  ///< of sending: decides between equal times
    std::uint32_t flight = 0;
    static bool is_later(const Arrival& left, const Arrival& right) {
      return left.at_ns != right.at_ns ? left.at_ns > right.at_ns : left.order > right.order;
    }
  };
  struct PathState {
    SimPath options;
    bool is_named = false;  ///< by set_path
    TimeNs busy_until_ns = 0;
    TimeNs last_arrival_ns = 0;
  };

  struct LinkState {
    SimLink options;
    TimeNs busy_until_ns = 0;
  };

  PathState& path_state(const Endpoint& from, const Endpoint& to);
  [[nodiscard]] bool pass_link(const Endpoint& to, std::size_t bytes, TimeNs& arrival_ns);
  void send(PathState& path, const Endpoint& from, const Endpoint& to,
            std::span<const std::byte> bytes);
  [[nodiscard]] bool pass_bottleneck(PathState& path, std::size_t bytes, TimeNs& departure_ns);
  void launch(TimeNs at_ns, const Endpoint& from, const Endpoint& to,
              std::span<const std::byte> bytes, double corrupt);
  void deliver(std::uint32_t flight);
  void free_flight(std::uint32_t flight);
  [[nodiscard]] std::byte* bytes_of(std::uint32_t flight) {
    return memory_.get() + std::size_t{flight} * options_.max_payload_bytes;
  }

  SimOptions options_;
  Random random_;
  TimeNs now_ns_ = 0;
  std::uint64_t sent_count_ = 0;
  SimPath default_path_;
  std::map<std::pair<Endpoint, Endpoint>, PathState> paths_;
  std::map<Endpoint, LinkState> links_;
  std::map<Endpoint, SimPort*> ports_;
  std::unique_ptr<std::byte[]> memory_;
  std::vector<Flight> flights_;
  std::uint32_t free_flight_ = kNone;
  std::vector<Arrival> arrivals_;  ///< a heap, earliest first
  SimCounters counters_;
};

class SimPort final : public Port {
 public:
  ~SimPort() override;
  SimPort(const SimPort&) = delete;
  SimPort& operator=(const SimPort&) = delete;

  [[nodiscard]] std::uint32_t max_payload_bytes() const override { return options_.payload_bytes; }
  [[nodiscard]] std::uint64_t receive_queue_bytes() const override {
    return options_.receive_queue_bytes;
  }
  [[nodiscard]] bool gathers() const override { return true; }
  [[nodiscard]] Endpoint local() const override { return options_.local; }
  bool open_destination(const Endpoint& remote, DestinationId& destination) override;
  void close_destination(DestinationId destination) override;
  std::size_t rx_burst(std::span<RxPacket> packets) override;
  std::size_t tx_alloc(std::span<TxPacket> packets) override;
  std::size_t tx_burst(std::span<const TxPacket> packets) override;
  void tx_free(std::span<const TxPacket> packets) override;
  void flush() override {}
  [[nodiscard]] int wait_descriptor() const override { return -1; }
  /// A packet has arrived and was not received yet: what a descriptor would say.
  [[nodiscard]] bool waits() const { return waiting_.first != SimNetwork::kNone; }
  [[nodiscard]] const PortCounters& counters() const override { return counters_; }

 private:
  friend class SimNetwork;

  struct Remote {
    Endpoint endpoint;
    SimNetwork::PathState* path = nullptr;
  };
  /// A first-in first-out list through Flight::next.
  struct FlightList {
    std::uint32_t first = SimNetwork::kNone;
    std::uint32_t last = SimNetwork::kNone;
  };

  SimPort(SimNetwork& network, const SimPortOptions& options);
  void push(FlightList& list, std::uint32_t flight);
  std::uint32_t pop(FlightList& list);
  void free_all(FlightList& list);
  /// Takes an arriving packet into the receive queue; false when that is full.
  bool accept(std::uint32_t flight);

  SimNetwork& network_;
  SimPortOptions options_;
  PacketPool pool_;
  DestinationTable<Remote> destinations_;
  FlightList waiting_;
  FlightList handed_out_;
  std::uint64_t waiting_bytes_ = 0;  ///< each packet counted with at least kPacketChargeBytes
  PortCounters counters_;
};

}  // namespace ringwire::port
