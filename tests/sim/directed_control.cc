#include "tests/sim/directed.h"

namespace ringwire::sim {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

WorldOptions light_traffic() {
  WorldOptions options;
  options.servers = 2;
  options.clients = 2;
  options.messages = 100;
  options.window = 20;
  options.large_chance = 0;
  options.call_chance = 0.2;
  return options;
}

/// Longer than any silence that a connection may have, and now and then a little loss.
WorldOptions nothing_ails_anybody() {
  WorldOptions options = light_traffic();
  options.messages = 40;
  options.pause_ns = 2 * kSecondNs;
  options.skewed_clocks = true;
  options.nobody_ails = true;
  options.safety_ns = 40 * kSecondNs;
  for (std::uint32_t at = 0; at < 400; ++at)
    options.faults.push_back(
        {FaultKind::kBurst, (50 + 95 * at) * kMs, 25 * kMs, 2 + at % 2, at / 2 % 2, 0});
  return options;
}

WorldOptions a_node_stands_still() {
  WorldOptions options = light_traffic();
  options.servers = 3;
  options.messages = 300;
  options.keys = 60;
  options.pause_ns = 2 * kMs;
  options.ends_before_heal = true;
  options.safety_ns = 5 * kSecondNs;
  options.faults.push_back({FaultKind::kPause, 50 * kMs, options.safety_ns, 0, 0, 0});
  return options;
}

/// The kernel of one side gives a connection up; the other side's does not hear of it.
WorldOptions one_side_gives_up() {
  WorldOptions options = light_traffic();
  options.local_clients = true;
  options.messages = 130;
  options.pause_ns = 500 * kMs;
  options.safety_ns = 32 * kSecondNs;
  options.faults.push_back({FaultKind::kCutOneWay, kSecondNs, 13 * kSecondNs, 0, 1, 0});
  options.faults.push_back({FaultKind::kCutOneWay, 16 * kSecondNs, 13 * kSecondNs, 1, 0, 0});
  return options;
}

WorldOptions small_receive_queues() {
  WorldOptions options = light_traffic();
  options.servers = 1;
  options.secondaries = 0;
  options.workers = 3;
  options.large_chance = 0.5;
  options.large_bytes = 2'000'000;
  options.receive_queue_bytes = 128 * 1024;
  options.delay_ns = kMs;
  options.safety_ns = 200 * kMs;
  return options;
}

/// What passes is found out, and both sides keep to it.
WorldOptions narrow_path() {
  WorldOptions options = light_traffic();
  options.servers = 1;
  options.secondaries = 0;
  options.call_chance = 0.5;
  options.large_chance = 0.5;
  options.large_bytes = 200'000;
  options.ends_before_heal = true;
  options.safety_ns = 20 * kSecondNs;
  for (std::uint32_t client = 1; client < 3; ++client)
    options.faults.push_back({FaultKind::kMtu, 0, options.safety_ns, 0, client, 1'400});
  return options;
}

}  // namespace

std::vector<Directed> control_worlds() {
  return {
      {"nothing_ails_anybody", "and nobody is suspected", nothing_ails_anybody()},
      {"a_node_stands_still", "and holds nobody up", a_node_stands_still()},
      {"one_side_gives_up", "a control connection, and comes again", one_side_gives_up()},
      {"small_receive_queues", "of several workers", small_receive_queues()},
      {"narrow_path", "large packets vanish all the time", narrow_path()},
  };
}

}  // namespace ringwire::sim
