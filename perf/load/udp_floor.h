// The least that kernel UDP sockets can do the work of an engine in: sockets of their own beside
// the port's, polled; for large messages runs of segments (UDP_SEGMENT, UDP_GRO) and the same
// copies with the same checksum.
#pragma once

#include "perf/load/scenes.h"

namespace ringwire::load {

Figures udp_ping(Stage& stage);
Figures udp_copy_1mb(Stage& stage);
Figures udp_copy_64mb(Stage& stage);

}  // namespace ringwire::load
