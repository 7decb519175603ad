// The floors in a build without DPDK, where nobody can have a device to call them for.
#include "base/check.h"
#include "perf/load/dpdk_floor.h"

namespace ringwire::load {

Figures dpdk_ping(Stage& stage) {
  RW_CHECK(stage.device.empty());
  return {};
}
Figures dpdk_frames(Stage& stage) { return dpdk_ping(stage); }
Figures dpdk_copy_1mb(Stage& stage) { return dpdk_ping(stage); }
Figures dpdk_copy_64mb(Stage& stage) { return dpdk_ping(stage); }

}  // namespace ringwire::load
