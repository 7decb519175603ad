// Time as numbers: nanoseconds, signed, on a monotonic scale with an unspecified origin. Who needs
// the time is told it; the clock itself is read only in engine/node/clock.h and, for the waits of
// the client library, in ipc/.
#pragma once

#include <cstdint>
#include <limits>

namespace ringwire {

using TimeNs = std::int64_t;      ///< a point on the monotonic scale
using DurationNs = std::int64_t;  ///< a difference of two points

inline constexpr DurationNs kMicrosecondNs = 1'000;
inline constexpr DurationNs kMillisecondNs = 1'000'000;
inline constexpr DurationNs kSecondNs = 1'000'000'000;
inline constexpr TimeNs kNeverNs = std::numeric_limits<TimeNs>::max();

}  // namespace ringwire
