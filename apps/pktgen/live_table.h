// The table of a running generator: rates of each queue since the last look, and what went wrong.
// Cold.
#pragma once

#include <string>
#include <vector>

#include "apps/pktgen/wire.h"
#include "base/time.h"

namespace ringwire::pktgen {

class LiveTable {
 public:
  explicit LiveTable(Wire& wire);
  /// Rows for the time since the last call; `frame_bytes` beside the payload are counted in.
  [[nodiscard]] std::string render(TimeNs now);

 private:
  Wire& wire_;
  std::vector<port::PortCounters> last_;
  TimeNs last_ns_ = 0;
};

}  // namespace ringwire::pktgen
