#include "tests/sim/directed.h"

namespace ringwire::sim {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

/// The windows of elders are gone when those that name them come.
WorldOptions more_channels_than_windows() {
  WorldOptions options;
  options.servers = 1;
  options.holds_may_expire = true;
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

/// Nothing fails and nothing is lost: that memory takes its time is no reason to send again.
WorldOptions memory_comes_slowly() {
  WorldOptions options;
  options.servers = 2;
  options.clients = 2;
  options.messages = 12;
  options.window = 3;
  options.large_chance = 1;
  options.large_bytes = 6'000'000;
  options.call_chance = 0.3;
  options.commit_ns_per_mib = 300 * kMs;
  options.nothing_repeats = true;
  options.nobody_ails = true;
  options.safety_ns = 60 * kSecondNs;
  return options;
}

/// What is given up while its fragments are lost is not sent again, and no answer to it is awaited:
/// the peer is not suspected for its silence.
WorldOptions given_up_while_packets_are_lost() {
  WorldOptions options;
  options.servers = 2;
  options.clients = 2;
  options.secondaries = 0;
  options.messages = 60;
  options.window = 1;
  options.pause_ns = kSecondNs;
  options.large_chance = 1;
  options.large_bytes = 2'000'000;
  options.call_chance = 0;
  options.cancel_chance = 0.7;
  options.bytes_per_s = 60'000'000;
  options.nobody_ails = true;
  options.safety_ns = 60 * kSecondNs;
  options.faults.push_back({FaultKind::kLoss, 0, options.safety_ns, 0, 0, 0.2});
  return options;
}

/// What nobody comes for goes elsewhere, also when nothing else wakes the engine any more.
WorldOptions turned_away_while_all_sleep() {
  WorldOptions options;
  options.servers = 3;
  options.clients = 1;
  options.local_clients = true;
  options.barren_node = 0;
  options.messages = 60;
  options.window = 4;
  options.large_chance = 0;
  options.program_grace_ns = 200 * kMs;
  options.safety_ns = 100 * kMs;
  return options;
}

/// Their programs have many calls open when their nodes end for good. What is answered to them
/// ends, and what is answered to another has its room.
WorldOptions callers_that_are_gone() {
  constexpr std::uint32_t kGone = 5;
  WorldOptions options;
  options.servers = 1;
  options.clients = kGone + 1;
  options.secondaries = 0;
  options.consumers = 8;
  options.messages = 200;
  options.window = 60;
  options.pause_ns = 100 * kMicrosecondNs;
  options.large_chance = 0;
  options.call_chance = 1;
  options.keys = 60;
  options.work_ns = 10 * kMs;
  options.out_messages = 64;
  options.message_slots = 4'096;
  options.program_grace_ns = 10 * kMs;
  options.ends_before_heal = true;
  options.safety_ns = 2 * kSecondNs;
  for (std::uint32_t client = 0; client < kGone; ++client) {
    options.faults.push_back({FaultKind::kClientCrash, 20 * kMs, 0, client, 0, 0});
    options.faults.push_back({FaultKind::kCrash, 20 * kMs, options.safety_ns, 1 + client, 0, 0});
  }
  return options;
}

/// Messages of level none find no room while their elders are lost or late: what names them waits
/// for those instead.
WorldOptions passed_over_before_their_elders() {
  WorldOptions options;
  options.servers = 1;
  options.clients = 2;
  options.secondaries = 0;
  options.keys = 2;
  options.messages = 600;
  options.window = 60;
  options.in_messages = 64;
  options.large_chance = 0;
  options.call_chance = 0;
  options.none_chance = 0.6;
  options.message_slots = 4'096;
  options.work_ns = 200 * kMicrosecondNs;
  options.safety_ns = 300 * kMs;
  options.faults.push_back({FaultKind::kLoss, 0, options.safety_ns, 0, 0, 0.03});
  options.faults.push_back({FaultKind::kReorder, 0, options.safety_ns, 0, 0, 0.1});
  return options;
}

/// W-28: what is lost is called back before it was sent again, while what names it has come, at
/// level none, and has ended for its sender.
WorldOptions called_back_before_they_came() {
  WorldOptions options;
  options.seed = 2;
  options.servers = 1;
  options.clients = 2;
  options.secondaries = 0;
  options.keys = 2;
  options.messages = 600;
  options.window = 30;
  options.pause_ns = 200 * kMicrosecondNs;
  options.large_chance = 0;
  options.call_chance = 0.2;
  options.none_chance = 0.5;
  options.cancel_chance = 0.3;
  options.message_slots = 4'096;
  options.work_ns = 100 * kMicrosecondNs;
  options.safety_ns = 300 * kMs;
  options.faults.push_back({FaultKind::kLoss, 0, options.safety_ns, 0, 0, 0.18});
  return options;
}

}  // namespace

std::vector<Directed> worker_worlds() {
  return {
      {"more_channels_than_windows", "and nobody waits for an elder that is forgotten",
       more_channels_than_windows()},
      {"memory_comes_slowly", "and nothing is sent twice for that", memory_comes_slowly()},
      {"given_up_while_packets_are_lost", "and nobody is suspected for it",
       given_up_while_packets_are_lost()},
      {"turned_away_while_all_sleep", "and sent elsewhere at once", turned_away_while_all_sleep()},
      {"callers_that_are_gone", "with their node, keep nobody's answers out",
       callers_that_are_gone()},
      {"passed_over_before_their_elders", "and nobody waits for them in vain",
       passed_over_before_their_elders()},
      {"called_back_before_they_came", "and nobody waits for them in vain",
       called_back_before_they_came()},
  };
}

}  // namespace ringwire::sim
