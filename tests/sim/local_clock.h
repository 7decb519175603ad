// A node's own clock: it starts anywhere and runs up to some per cent too fast or too slow against
// the world's time. Pure; integers only, so that all machines compute alike.
#pragma once

#include "base/time.h"

namespace ringwire::sim {

class LocalClock {
 public:
  LocalClock() = default;
  /// `drift_ppm`: how much faster than the world's, in millionths (5 % = 50,000).
  LocalClock(TimeNs offset_ns, std::int64_t drift_ppm)
      : offset_ns_(offset_ns), drift_ppm_(drift_ppm) {}

  [[nodiscard]] TimeNs local(TimeNs world) const {
    return offset_ns_ + world + world / 1'000'000 * drift_ppm_ +
           world % 1'000'000 * drift_ppm_ / 1'000'000;
  }
  /// The first moment of the world at which this clock shows `local` or more.
  [[nodiscard]] TimeNs world(TimeNs local_ns) const {
    if (local_ns == kNeverNs) return kNeverNs;
    const TimeNs span = local_ns - offset_ns_;
    TimeNs at = span - span / (1'000'000 + drift_ppm_) * drift_ppm_;
    while (local(at) >= local_ns && at > 0) at -= 1 + (local(at) - local_ns) / 2;
    while (local(at) < local_ns) at += 1 + (local_ns - local(at)) / 2;
    return at;
  }

 private:
  TimeNs offset_ns_ = 0;
  std::int64_t drift_ppm_ = 0;
};

}  // namespace ringwire::sim
