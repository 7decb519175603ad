#include "tests/sim/directed.h"

namespace ringwire::sim {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

/// Small messages of programs of the only node, which are all its worker's: the short way.
WorldOptions short_way() {
  WorldOptions options;
  options.servers = 1;
  options.local_clients = true;
  options.secondaries = 0;
  options.clients = 3;
  options.consumers = 1;
  options.keys = 3;
  options.messages = 900;
  options.window = 40;
  options.large_chance = 0;
  options.call_chance = 0;
  options.work_ns = 200 * kMicrosecondNs;
  return options;
}

/// Never more than a consumer may have, so that nothing waits in the group.
WorldOptions few_at_once() {
  WorldOptions options = short_way();
  options.consumers = 2;
  options.window = 8;
  options.pause_ns = kMs;
  options.work_ns = 3 * kMs;
  return options;
}

/// One consumer alone is found by others that come, dies, or hands back what it has.
WorldOptions only_consumers() {
  WorldOptions options = few_at_once();
  options.retry_chance = 0.02;
  options.accepted_chance = 0.1;
  for (std::int64_t at = 0; at < 40; ++at)
    options.faults.push_back({FaultKind::kProgramCrash, (5 + 9 * at) * kMs, 5 * kMs, 0, 0, 0});
  options.safety_ns = 500 * kMs;
  return options;
}

/// Who leaves the service holds messages still while another comes, who is alone then.
WorldOptions one_leaves() {
  WorldOptions options = few_at_once();
  options.keys = 2;
  for (std::int64_t at = 0; at < 60; ++at) {
    // The other comes right behind, while nothing has been sent in between.
    options.faults.push_back(
        {FaultKind::kProgramCrash, (3 + 12 * at) * kMs, kMs + 50 * kMicrosecondNs, 0, 0, 0});
    options.faults.push_back({FaultKind::kAway, (4 + 12 * at) * kMs, 5 * kMs, 0, 0, 0});
  }
  options.safety_ns = 900 * kMs;
  return options;
}

/// What waits for them fails, and is sent again with all behind it.
WorldOptions nobody_comes_back() {
  WorldOptions options = short_way();
  options.messages = 6'000;
  options.work_ns = 3 * kMs;
  options.program_grace_ns = 5 * kMs;
  for (std::int64_t at = 0; at < 20; ++at)
    options.faults.push_back({FaultKind::kAway, (10 + 60 * at) * kMs, 40 * kMs, 0, 0, 0});
  options.safety_ns = 1'300 * kMs;
  return options;
}

/// What waits for a program that stands still finds another node when that stops serving. More come
/// meanwhile, which may not go there first.
WorldOptions the_secondary_takes_it() {
  WorldOptions options = short_way();
  options.servers = 2;
  options.secondaries = 1;
  options.clients = 2;
  options.keys = 4;
  options.messages = 4'000;
  options.window = 300;
  options.pause_ns = 500 * kMicrosecondNs;
  options.work_ns = 50 * kMicrosecondNs;
  options.program_grace_ns = 5 * kMs;
  for (std::int64_t at = 0; at < 8; ++at) {
    options.faults.push_back({FaultKind::kProgramStop, (20 + 150 * at) * kMs, 60 * kMs, 0, 0, 0});
    options.faults.push_back({FaultKind::kAway, (35 + 150 * at) * kMs, 40 * kMs, 0, 0, 0});
  }
  options.safety_ns = 1'300 * kMs;
  return options;
}

/// Those that wait for a program's room are over for their senders, whose next one is large.
WorldOptions told_before() {
  WorldOptions options = short_way();
  options.keys = 1;
  options.messages = 6'000;
  options.window = 60;
  options.accepted_chance = 0.8;
  options.none_chance = 0.2;
  options.large_chance = 0.01;
  options.large_bytes = 3'000;
  options.nobody_ails = true;
  options.safety_ns = 1'500 * kMs;
  return options;
}

/// Senders that do not wait for the programs fill all records; what waits for one gets it when it
/// comes, and not with the next retry.
WorldOptions full_at_once() {
  WorldOptions options = short_way();
  options.in_messages = 128;
  options.keys = 6;
  options.messages = 4'000;
  options.window = 60;
  options.none_chance = 0.4;
  options.accepted_chance = 0.6;
  options.work_ns = 100 * kMicrosecondNs;
  options.nobody_ails = true;
  options.ends_before_heal = true;
  options.safety_ns = 600 * kMs;
  return options;
}

/// What a program hands back goes before those that wait for its room. One sender, whose window is
/// never full: nothing new comes that would make them ordinary.
WorldOptions handed_back() {
  WorldOptions options = short_way();
  options.seed = 603;
  options.clients = 1;
  options.keys = 1;
  options.messages = 30;
  options.window = 200;
  options.retry_chance = 0.3;
  options.safety_ns = 1'500 * kMs;
  return options;
}

/// Large ones, calls, cancels and deadlines between them.
WorldOptions all_kinds() {
  WorldOptions options = short_way();
  options.keys = 2;
  options.large_chance = 0.05;
  options.call_chance = 0.1;
  options.cancel_chance = 0.05;
  options.deadline_chance = 0.05;
  options.none_chance = 0.1;
  options.accepted_chance = 0.1;
  options.retry_chance = 0.05;
  options.refuse_chance = 0.02;
  options.poison_chance = 0.02;
  options.max_deliveries = 3;
  options.commit_ns_per_mib = 20 * kMs;
  options.safety_ns = 400 * kMs;
  return options;
}

}  // namespace

std::vector<Directed> short_way_worlds() {
  return {
      {"short_way_to_only_consumers", "and others come and go", only_consumers()},
      {"short_way_to_one_that_leaves", "and still holds messages", one_leaves()},
      {"short_way_to_nobody", "so that what waits fails", nobody_comes_back()},
      {"short_way_to_the_secondary", "when nobody is left", the_secondary_takes_it()},
      {"short_way_told_before_a_large_one", "of the same key comes", told_before()},
      {"short_way_behind_what_is_handed_back", "by a program without room", handed_back()},
      {"short_way_to_a_full_engine", "and room comes", full_at_once()},
      {"short_way_among_all_kinds", "of messages of the same keys", all_kinds()},
  };
}

}  // namespace ringwire::sim
