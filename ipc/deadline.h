// When a wait of the C ABI ends. Any thread.
#pragma once

#include <cstdint>

#include "ipc/attach_socket.h"

namespace ringwire::ipc {

/// Of a timeout from now: negative = never, 0 = at once (0).
[[nodiscard]] inline TimeNs deadline_of(std::int64_t timeout_ns) {
  if (timeout_ns < 0) return kNeverNs;
  if (timeout_ns == 0) return 0;
  const TimeNs now = monotonic_ns();
  return timeout_ns > kNeverNs - now ? kNeverNs : now + timeout_ns;
}

}  // namespace ringwire::ipc
