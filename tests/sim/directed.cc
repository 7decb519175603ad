#include "tests/sim/directed.h"

namespace ringwire::sim {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

WorldOptions calm() {
  WorldOptions options;
  options.safety_ns = 200 * kMs;
  options.large_chance = 0;
  options.call_chance = 0;
  return options;
}

WorldOptions servers_call_each_other() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 2;
  options.secondaries = 0;
  options.services = 2;
  options.consumers = 1;
  options.messages = 300;
  options.window = 60;
  options.nested_calls = true;
  options.in_messages = 32;
  options.out_messages = 64;
  options.message_slots = 128;
  return options;
}

WorldOptions local_callers_fill_the_engine() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.clients = 2;
  options.local_clients = true;
  options.call_chance = 1;
  options.window = 60;
  options.out_messages = 16;
  return options;
}

WorldOptions two_large_that_do_not_fit() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.clients = 2;
  options.messages = 6;
  options.large_chance = 1;
  options.large_bytes = 5'000'000;
  options.memory_bytes = 7'000'000;
  options.window = 4;
  return options;
}

WorldOptions stuck_group() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 2;
  options.services = 2;
  options.service_per_client = true;
  options.stuck_service = true;
  options.messages = 250;
  options.window = 200;
  options.message_slots = 128;
  options.safety_ns = 2 * kSecondNs;
  return options;
}

WorldOptions node_drains_under_load() {
  WorldOptions options = calm();
  options.servers = 3;
  options.clients = 2;
  options.keys = 3;
  options.messages = 800;
  options.window = 40;
  options.work_ns = 2 * kMs;
  for (std::uint32_t at = 0; at < 3; ++at)
    options.faults.push_back({FaultKind::kDrain, (5 + 20 * at) * kMs, 10 * kMs, at, 0, 0});
  return options;
}

WorldOptions handed_back_one_by_one() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.keys = 1;
  options.messages = 400;
  options.window = 60;
  options.retry_chance = 0.3;
  return options;
}

WorldOptions replies_outlive_their_engine() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 1;
  options.call_chance = 1;
  options.messages = 600;
  options.pause_ns = 200 * kMicrosecondNs;
  options.delay_ns = 5 * kMs;  // many replies have no outcome yet when the engine dies
  for (std::uint32_t at = 0; at < 6; ++at)
    options.faults.push_back({FaultKind::kCrash, (20 + 20 * at) * kMs, 3 * kMs, at % 2, 0, 0});
  return options;
}

/// The owner of some keys has no program; its own clients send at level none, too.
WorldOptions nobody_serves_there() {
  WorldOptions options = calm();
  options.servers = 3;
  options.clients = 3;
  options.local_clients = true;
  options.none_chance = 0.3;
  options.barren_node = 1;
  options.program_grace_ns = 50 * kMs;
  options.messages = 100;
  return options;
}

WorldOptions long_and_lossy() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.messages = 7;
  options.window = 2;
  options.large_chance = 1;
  options.large_bytes = 9'000'000;
  options.max_packet_bytes = 1'200;
  options.safety_ns = 20 * kSecondNs;
  options.faults.push_back({FaultKind::kLoss, 0, options.safety_ns, 0, 0, 0.02});
  return options;
}

WorldOptions many_announced() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.messages = 200;
  options.window = 30;
  options.large_chance = 1;
  options.large_bytes = 120'000;
  options.call_chance = 0.5;
  return options;
}

}  // namespace

std::vector<Directed> directed_worlds() {
  return {
      {"servers_call_each_other", "each handler calls the other node first, all queues tiny",
       servers_call_each_other()},
      {"local_callers_fill_the_engine", "callers hold all records that replies need",
       local_callers_fill_the_engine()},
      {"two_large_that_do_not_fit", "memory for one of two large messages",
       two_large_that_do_not_fit()},
      {"stuck_group", "one service stands still, the other goes on", stuck_group()},
      {"node_drains_under_load", "elders are at a leaving node while others follow",
       node_drains_under_load()},
      {"handed_back_one_by_one", "a program hands back what others of its key wait behind",
       handed_back_one_by_one()},
      {"replies_outlive_their_engine", "replies are submitted again to the engine that comes next",
       replies_outlive_their_engine()},
      {"nobody_serves_there", "a node without programs, with local senders", nobody_serves_there()},
      {"long_and_lossy", "more packets than any window, some of them lost", long_and_lossy()},
      {"many_announced", "more announced messages than may be open at once", many_announced()},
  };
}

}  // namespace ringwire::sim
