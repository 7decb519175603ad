#include "tests/sim/directed.h"

namespace ringwire::sim {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

/// The windows of elders are gone when those that name them come.
WorldOptions more_channels_than_windows() {
  WorldOptions options;
  options.servers = 1;
  options.secondaries = 0;
  options.clients = 6;
  options.duplicate_windows = 2;
  options.keys = 2;
  options.messages = 300;
  options.window = 20;
  options.large_chance = 0;
  options.none_chance = 0.1;
  options.call_chance = 0.2;
  options.safety_ns = 100 * kMs;
  return options;
}

}  // namespace

std::vector<Directed> worker_worlds() {
  return {
      {"more_channels_than_windows", "and nobody waits for an elder that is forgotten",
       more_channels_than_windows()},
  };
}

}  // namespace ringwire::sim
