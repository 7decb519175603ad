// What arrived, judged by the stamps in it: how many, how many are missing or came late, and how
// long they took. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "apps/cli/histogram.h"
#include "apps/pktgen/packet_stamp.h"
#include "base/time.h"

namespace ringwire::pktgen {

/// Flows that are told apart. 1,024: their state (24 KiB) stays in a first-level cache.
inline constexpr std::size_t kMaxFlows = 1'024;

class Tally {
 public:
  Tally() : flows_(kMaxFlows) {}

  void on_packet(TimeNs now, std::span<const std::byte> packet);
  /// Begins anew; packets of before `start_ns` (the sender's time) do not count.
  void reset(TimeNs start_ns);

  [[nodiscard]] std::uint64_t packets() const { return packets_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t foreign() const { return foreign_; }
  /// Behind a packet of the same flow that was sent after it.
  [[nodiscard]] std::uint64_t reordered() const { return reordered_; }
  /// Between the first and the newest of each flow, and not arrived; twice arrived counts against
  /// it, down to 0.
  [[nodiscard]] std::uint64_t missing() const;
  [[nodiscard]] const cli::Histogram& latency() const { return latency_; }

 private:
  struct Flow {
    std::uint64_t first = 0;
    std::uint64_t next = 0;  ///< behind the newest; 0: none yet
    std::uint64_t packets = 0;
  };
  std::vector<Flow> flows_;
  cli::Histogram latency_;
  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t foreign_ = 0;
  std::uint64_t reordered_ = 0;
  TimeNs start_ns_ = 0;
};

}  // namespace ringwire::pktgen
