// The only place where an engine reads a clock: everything else is told the time. Any thread.
#pragma once

#include <ctime>

#include "base/time.h"

namespace ringwire::node {

/// CLOCK_MONOTONIC in nanoseconds: it does not jump, and programs on this machine share its scale.
[[nodiscard]] inline TimeNs clock_now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<TimeNs>(now.tv_sec) * kSecondNs + now.tv_nsec;
}

/// Wall clock, for display and logs only: nothing may be decided by it.
[[nodiscard]] inline TimeNs wall_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<TimeNs>(now.tv_sec) * kSecondNs + now.tv_nsec;
}

}  // namespace ringwire::node
