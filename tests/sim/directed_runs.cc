#include "tests/sim/directed.h"

namespace ringwire::sim {
namespace {

constexpr DurationNs kMs = kMillisecondNs;

/// Small messages of slaves for other nodes, more than one under way of each key: runs.
WorldOptions runs() {
  WorldOptions options;
  options.servers = 2;
  options.secondaries = 0;
  options.clients = 3;
  options.keys = 4;
  options.messages = 1'500;
  options.window = 60;
  options.large_chance = 0;
  options.call_chance = 0;
  options.message_slots = 1'024;
  options.work_ns = 300 * kMicrosecondNs;
  return options;
}

/// W-73: those behind a lost one come first.
WorldOptions get_lost() {
  WorldOptions options = runs();
  options.pause_ns = 100 * kMicrosecondNs;
  options.accepted_chance = 0.2;
  options.only_loss = true;
  options.faults = {{FaultKind::kLoss, 0, 900 * kMs, 0, 0, 0.04},
                    {FaultKind::kReorder, 0, 900 * kMs, 0, 0, 0.05}};
  options.safety_ns = 900 * kMs;
  return options;
}

/// W-74: engines have room for few, and programs are away for longer than they are waited for.
WorldOptions are_turned_away() {
  WorldOptions options = runs();
  options.keys = 2;
  options.in_messages = 64;
  options.program_grace_ns = 3 * kMs;
  options.pause_ns = 50 * kMicrosecondNs;
  for (std::int64_t at = 0; at < 25; ++at)
    options.faults.push_back({FaultKind::kAway, (8 + 30 * at) * kMs, 12 * kMs,
                              static_cast<std::uint32_t>(at % 2), 0, 0});
  options.faults.push_back({FaultKind::kLoss, 0, 800 * kMs, 0, 0, 0.02});
  options.safety_ns = 800 * kMs;
  return options;
}

/// Others go by themselves between them: large ones, cancels, deadlines, calls, all levels.
WorldOptions among_all_kinds() {
  WorldOptions options = runs();
  options.servers = 3;
  options.secondaries = 1;
  options.keys = 3;
  options.pause_ns = 150 * kMicrosecondNs;
  options.large_chance = 0.02;
  options.call_chance = 0.02;
  options.cancel_chance = 0.02;
  options.deadline_chance = 0.05;
  options.none_chance = 0.03;
  options.accepted_chance = 0.05;
  options.unordered_chance = 0.05;
  options.retry_chance = 0.02;
  options.refuse_chance = 0.01;
  for (std::int64_t at = 0; at < 10; ++at)
    options.faults.push_back({FaultKind::kProgramCrash, (5 + 50 * at) * kMs, 5 * kMs,
                              static_cast<std::uint32_t>(at % 3), 0, 0});
  options.faults.push_back({FaultKind::kLoss, 0, 500 * kMs, 0, 0, 0.02});
  options.safety_ns = 500 * kMs;
  return options;
}

/// A node cannot be heard for a while, again and again: sessions end, views change, and what was
/// there goes to the other.
WorldOptions of_lost_sessions() {
  WorldOptions options = among_all_kinds();
  options.deadline_chance = 0.3;
  options.faults.clear();
  for (std::int64_t at = 0; at < 4; ++at)
    options.faults.push_back({FaultKind::kIsolate, (20 + 150 * at) * kMs, 90 * kMs,
                              static_cast<std::uint32_t>(at % 3), 0, 0});
  options.safety_ns = 700 * kMs;
  return options;
}

/// One consumer, so that they go through whole; and it dies, hands back, is stopped, goes away.
WorldOptions go_through_whole() {
  WorldOptions options = runs();
  options.consumers = 1;
  options.keys = 3;
  options.messages = 3'000;
  options.pause_ns = 60 * kMicrosecondNs;
  options.work_ns = 200 * kMicrosecondNs;
  options.accepted_chance = 0.02;
  options.retry_chance = 0.01;
  options.refuse_chance = 0.005;
  for (std::int64_t at = 0; at < 12; ++at) {
    options.faults.push_back({FaultKind::kProgramCrash, (5 + 40 * at) * kMs, 5 * kMs,
                              static_cast<std::uint32_t>(at % 2), 0, 0});
    options.faults.push_back({FaultKind::kAway, (25 + 40 * at) * kMs, 5 * kMs,
                              static_cast<std::uint32_t>(at % 2), 0, 0});
  }
  options.faults.push_back({FaultKind::kLoss, 0, 500 * kMs, 0, 0, 0.02});
  options.safety_ns = 500 * kMs;
  return options;
}

/// More than the only consumer may have at once: the rest of a run waits, and others come.
WorldOptions wait_for_a_consumer() {
  WorldOptions options = go_through_whole();
  options.servers = 1;
  options.message_slots = 4'096;
  options.window = 300;
  options.pause_ns = 0;
  options.accepted_chance = 0;
  options.large_chance = 0.01;
  options.call_chance = 0.005;
  options.cancel_chance = 0.003;
  options.work_ns = 5 * kMs;
  for (FaultEvent& fault : options.faults) fault.a = 0;
  return options;
}

/// Two consumers, one of which leaves with messages in hand while the other is alone then.
WorldOptions one_leaves_with_some() {
  WorldOptions options = go_through_whole();
  options.servers = 1;
  options.consumers = 2;
  options.keys = 2;
  options.window = 8;
  options.messages = 1'200;
  options.pause_ns = kMs;
  options.work_ns = 3 * kMs;
  options.faults.clear();
  for (std::int64_t at = 0; at < 60; ++at) {
    options.faults.push_back(
        {FaultKind::kProgramCrash, (3 + 12 * at) * kMs, kMs + 50 * kMicrosecondNs, 0, 0, 0});
    options.faults.push_back({FaultKind::kAway, (4 + 12 * at) * kMs, 5 * kMs, 0, 0, 0});
  }
  options.safety_ns = 900 * kMs;
  return options;
}

/// Sessions end while programs have what came in runs: second attempts meet the first.
WorldOptions come_twice() {
  WorldOptions options = runs();
  options.servers = 1;
  options.consumers = 1;
  options.work_ns = 20 * kMs;
  options.window = 100;
  options.messages = 2'000;
  for (std::int64_t at = 0; at < 12; ++at)
    options.faults.push_back({FaultKind::kControlReset, (10 + 60 * at) * kMs, 5 * kMs, 0,
                              static_cast<std::uint32_t>(1 + at % 3), 0});
  options.safety_ns = 800 * kMs;
  return options;
}

/// Nothing comes through for a while, and elders time out meanwhile: what was behind them goes
/// again by itself, and can come before the run that it was in.
WorldOptions come_late() {
  WorldOptions options = runs();
  options.seed = 2;
  options.servers = 4;
  options.workers = 3;
  options.clients = 2;
  options.keys = 7;
  options.services = 4;
  options.messages = 1'000;
  options.window = 30;
  options.small_bytes = 400;
  options.max_packet_bytes = 1'200;
  options.pause_ns = 4 * kMs;
  options.deadline_chance = 0.3;
  options.delay_ns = 100 * kMicrosecondNs;
  options.jitter_ns = 90 * kMicrosecondNs;
  for (std::int64_t at = 0; at < 18; ++at)
    options.faults.push_back({FaultKind::kSplit, (10 + 220 * at) * kMs, 150 * kMs, 0xf, 3, 0});
  options.safety_ns = 4'000 * kMs;
  return options;
}

/// W-74: many are on a long way to a node where nobody serves for a while; the first find nobody,
/// and somebody is there again for the last of them before the sender has heard of it. Of many
/// keys, so that few of them have an elder that goes by itself.
WorldOptions on_a_long_way() {
  WorldOptions options = runs();
  options.servers = 1;
  options.clients = 1;
  options.consumers = 1;
  options.keys = 300;
  options.messages = 8'000;
  options.window = 900;
  options.message_slots = 8'192;
  options.out_messages = 4'096;
  options.in_messages = 4'096;
  options.work_ns = 10 * kMicrosecondNs;
  options.pause_ns = 150 * kMicrosecondNs;
  options.delay_ns = 3 * kMs;
  options.program_grace_ns = 2 * kMs;
  for (std::int64_t at = 0; at < 20; ++at)
    options.faults.push_back({FaultKind::kAway, (20 + 40 * at) * kMs, 3 * kMs, 0, 0, 0});
  options.safety_ns = 900 * kMs;
  return options;
}

/// A node stands still with runs that it has not looked at, and is called hung: when it is back
/// they are sent again, by themselves, and come before what calls the runs back.
WorldOptions are_sent_again_before() {
  WorldOptions options = runs();
  options.servers = 3;
  options.clients = 2;
  options.consumers = 1;
  options.keys = 14;
  options.window = 8;
  options.messages = 1'000;
  options.pause_ns = 5 * kMs;
  options.accepted_chance = 0.2;
  options.program_grace_ns = 15 * kMs;
  options.delay_ns = 45 * kMicrosecondNs;
  options.jitter_ns = 82 * kMicrosecondNs;
  for (std::int64_t at = 0; at < 16; ++at)
    options.faults.push_back({FaultKind::kPause, (20 + 300 * at) * kMs, 230 * kMs,
                              static_cast<std::uint32_t>(at % 3), 0, 0});
  options.safety_ns = 4'900 * kMs;
  return options;
}

/// Acknowledgements do not come through for a while, and elders time out: those behind them go
/// again by themselves while programs have these still.
WorldOptions cut_off_answers() {
  WorldOptions options = runs();
  options.servers = 1;
  options.consumers = 1;
  options.keys = 7;
  options.window = 60;
  options.work_ns = 60 * kMs;
  options.pause_ns = 2 * kMs;
  options.messages = 600;
  options.deadline_chance = 0.1;
  for (std::int64_t at = 0; at < 20; ++at)
    for (std::uint32_t client = 1; client < 4; ++client)
      options.faults.push_back(
          {FaultKind::kCutOneWay, (10 + 60 * at) * kMs, 40 * kMs, 0, client, 0});
  options.safety_ns = 1'300 * kMs;
  return options;
}

/// Each is handed out so many times and no more, and is then out of the others' way.
WorldOptions of_poison() {
  WorldOptions options = runs();
  options.servers = 1;
  options.consumers = 1;
  options.messages = 400;
  options.window = 12;
  options.poison_chance = 0.05;
  options.max_deliveries = 3;
  options.pause_ns = kMs;
  options.safety_ns = 600 * kMs;
  return options;
}

/// The only consumer stands still for longer than any of them may take: each ends in its time.
WorldOptions time_out() {
  WorldOptions options = runs();
  options.servers = 1;
  options.consumers = 1;
  options.keys = 300;
  options.messages = 400;
  options.pause_ns = kMs;
  options.deadline_chance = 1;
  options.faults = {{FaultKind::kProgramStop, 50 * kMs, 1'500 * kMs, 0, 0, 0}};
  options.safety_ns = 1'500 * kMs;
  options.ends_before_heal = true;
  return options;
}

}  // namespace

std::vector<Directed> run_worlds() {
  return {
      {"runs_get_lost", "and those behind them wait", get_lost()},
      {"runs_are_turned_away", "and come again one by one", are_turned_away()},
      {"runs_among_all_kinds", "of messages of the same keys", among_all_kinds()},
      {"runs_of_lost_sessions", "go elsewhere", of_lost_sessions()},
      {"runs_go_through_whole", "to a consumer that comes and goes", go_through_whole()},
      {"runs_wait_for_a_consumer", "and others behind them", wait_for_a_consumer()},
      {"runs_after_one_that_leaves", "and still holds messages", one_leaves_with_some()},
      {"runs_come_twice", "when sessions end", come_twice()},
      {"runs_come_late", "after what was in them", come_late()},
      {"runs_on_a_long_way", "to a consumer that is away and back", on_a_long_way()},
      {"runs_of_poison", "that is given up", of_poison()},
      {"runs_are_sent_again_before", "they are called back", are_sent_again_before()},
      {"runs_of_cut_answers", "are sent again", cut_off_answers()},
      {"runs_time_out", "at a consumer that stands still", time_out()},
  };
}

}  // namespace ringwire::sim
