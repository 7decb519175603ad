// Tells a device which queue each worker's UDP port goes to (rte_flow). Cold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/port/dpdk_frame.h"

namespace ringwire::port {

/// One rule for each worker: UDP port base + i to queue i. Rules of several forms are tried, the
/// one that says least first: what else stands in a rule costs some devices, and others want it.
/// When the device does not take all workers' rules of one form, no rule is left, and the driver's
/// words say why. What no rule is about (ARP, ICMP, neighbour discovery, fragments) stays the
/// device's to spread: a port is not isolated by rte_flow_isolate, so that this still arrives.
std::optional<std::string> steer_by_port(std::uint16_t device, const FrameRules& rules);

}  // namespace ringwire::port
