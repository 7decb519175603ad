// Sends stamped packets of one size at a rate, in bursts, spread over flows and queues. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "apps/pktgen/packet_stamp.h"
#include "apps/pktgen/wire.h"
#include "base/time.h"

namespace ringwire::pktgen {

struct GeneratorOptions {
  Endpoint remote;                   ///< UDP port of its first queue
  std::uint32_t remote_queues = 1;   ///< flow f goes to the port of queue f % remote_queues
  std::uint32_t frame_bytes = 64;    ///< with the check sequence
  double packets_per_s = 0;          ///< 0: as fast as it goes
  std::uint32_t burst_packets = 32;  ///< 1 .. port::kBurstPackets
  std::uint32_t flows_count = 1;
};

class Generator {
 public:
  /// Throws WireError: a frame larger than the wire takes, no way to the remote.
  Generator(Wire& wire, const GeneratorOptions& options);
  ~Generator();
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  /// Starts to send at that rate; what was due before is forgotten.
  void start(TimeNs now, double packets_per_s);
  /// Sends what is due. A burst at most on each queue.
  void poll(TimeNs now);
  [[nodiscard]] std::uint64_t sent() const { return sent_; }

 private:
  void send_burst(std::size_t queue, std::size_t count, TimeNs now);

  Wire& wire_;
  GeneratorOptions options_;
  struct Flow {
    std::size_t queue = 0;
    port::DestinationId destination{};
    std::uint64_t sequence = 0;
  };
  std::vector<Flow> flows_;
  std::vector<std::vector<std::uint16_t>> flows_of_queue_;
  std::vector<std::size_t> next_of_queue_;
  std::vector<std::vector<port::DestinationId>> destinations_;  ///< by queue
  TimeNs start_ns_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t sent_before_ = 0;  ///< the start
};

}  // namespace ringwire::pktgen
