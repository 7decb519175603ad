// Searches in the manner of RFC 2544: against a side that echoes, the highest rate at which no more
// than a bound is lost (section 26.1), and the round-trip time at that rate (26.2). Where we
// differ: the rate is the offered one, halved between the last that passed and the last that
// failed, trials are seconds and not a minute, and latency is of every packet, as a distribution.
// One thread.
#pragma once

#include <cstdint>
#include <functional>

#include "apps/cli/histogram.h"
#include "apps/pktgen/generator.h"
#include "apps/pktgen/tally.h"
#include "apps/pktgen/wire.h"

namespace ringwire::pktgen {

struct SearchOptions {
  double loss_bound = 0;  ///< a part of what was sent
  DurationNs trial_ns = kSecondNs;
  DurationNs straggle_ns = 100 * kMillisecondNs;  ///< that packets may take to come back
  double precision = 0.02;  ///< the search ends when the two rates are so close, relatively
};

struct Trial {
  double offered_per_s = 0;  ///< 0: as fast as it went
  double sent_per_s = 0;
  double received_per_s = 0;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  cli::Histogram latency;
  [[nodiscard]] double loss() const {
    return sent == 0 ? 1 : 1 - static_cast<double>(received) / static_cast<double>(sent);
  }
};

/// One trial at a rate; `stopped` ends it early.
[[nodiscard]] Trial run_trial(Wire& wire, Generator& generator, const SearchOptions& options,
                              double packets_per_s, const std::function<bool()>& stopped);

/// The best passing trial; its `received` is 0 if none passed.
[[nodiscard]] Trial search_throughput(const SearchOptions& options,
                                      const std::function<Trial(double packets_per_s)>& trial);

}  // namespace ringwire::pktgen
