// Tells a device which queue each worker's UDP port goes to (rte_flow). Cold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/port/dpdk_frame.h"

namespace ringwire::port {

/// One rule for each worker: UDP port base + i to queue i. When the device does not take all of
/// them no rule is left, and the driver's words say why.
std::optional<std::string> steer_by_port(std::uint16_t device, const FrameRules& rules);

}  // namespace ringwire::port
