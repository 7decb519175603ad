// The least that a pair of DPDK devices can do the work of an engine in: frames of no protocol,
// through the same queues and pools, and for large messages the same copies with the same checksum.
// The other scenes' ports stand still meanwhile. Without DPDK in the build none of these is called.
#pragma once

#include "perf/load/scenes.h"

namespace ringwire::load {

/// One frame goes to the other side and comes back in its buffer, as testpmd's io mode does it.
Figures dpdk_ping(Stage& stage);
/// Frames in bursts of 32, taken and dropped.
Figures dpdk_frames(Stage& stage);
/// Messages of 1 MB, of which four are in memory at either side: copied with CRC32C into frames of
/// the port's size, and out of them.
Figures dpdk_copy_1mb(Stage& stage);
/// The same with two of 64 MB.
Figures dpdk_copy_64mb(Stage& stage);

}  // namespace ringwire::load
