// What a run by messages says at its end, for a person and for a program. Cold.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "apps/cli/histogram.h"
#include "apps/pktgen/message_load.h"
#include "base/time.h"

namespace ringwire::pktgen {

struct LoadReport {
  std::string engine;  ///< name of its node
  const LoadOptions& options;
  const MessageLoad& load;
  DurationNs duration_ns = 0;

  [[nodiscard]] std::string json() const;
  [[nodiscard]] std::string text() const;
};

/// p50, p90, p99, p99_9 and max.
[[nodiscard]] nlohmann::json latency_json(const cli::Histogram& latency);

}  // namespace ringwire::pktgen
