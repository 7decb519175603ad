#include "tests/sim/directed.h"

#include <algorithm>
#include <iterator>

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

/// What such a node has accepted must not keep the rest from those that serve.
WorldOptions accepted_where_nobody_serves() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 2;
  options.accepted_chance = 0.9;
  options.barren_node = 1;
  options.messages = 600;
  options.window = 200;
  options.message_slots = 128;
  options.program_grace_ns = 100 * kMs;
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
  options.only_loss = true;
  return options;
}

/// Nothing is lost, so that nothing may be sent again.
WorldOptions long_and_clean() {
  WorldOptions options = long_and_lossy();
  options.faults.clear();
  options.safety_ns = kSecondNs;
  return options;
}

WorldOptions many_announced() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.messages = 400;
  options.window = 30;
  options.large_chance = 1;
  options.large_bytes = 130'000;
  options.call_chance = 0.5;
  return options;
}

/// More fits into the path than one grant allows.
WorldOptions wide_path() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.messages = 4;
  options.window = 1;
  options.large_chance = 1;
  options.large_bytes = 16'000'000;
  options.delay_ns = 2 * kMs;
  options.bytes_per_s = 12'500'000'000;
  options.queue_bytes = 64u << 20;
  options.receive_queue_bytes = 16u << 20;
  return options;
}

WorldOptions gaps_in_sequence() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.messages = 6'000;
  options.window = 20;
  options.work_ns = 20 * kMicrosecondNs;
  options.sequence_jump_chance = 0.005;
  options.sequence_jump_most = 16'000;
  options.faults.push_back({FaultKind::kReorder, 0, options.safety_ns, 0, 0, 0.3});
  return options;
}

/// The same cells of the duplicate window serve number after number.
WorldOptions laps_of_the_duplicate_window() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.messages = 2'800;
  options.window = 60;
  options.pause_ns = 20 * kMicrosecondNs;
  options.work_ns = 20 * kMicrosecondNs;
  options.sequence_lap = 700;
  options.faults.push_back({FaultKind::kReorder, 0, options.safety_ns, 0, 0, 0.3});
  return options;
}

/// Behind each of few losses thousands of packets are under way.
WorldOptions few_losses_on_a_wide_path() {
  WorldOptions options = long_and_lossy();
  options.delay_ns = 2 * kMs;
  options.queue_bytes = 64u << 20;
  options.receive_queue_bytes = 16u << 20;
  options.faults.front().amount = 0.000'5;
  return options;
}

/// One message at a time: nothing else wakes an engine that sleeps over it.
WorldOptions programs_act_as_engines_fall_asleep() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.clients = 2;
  options.window = 1;
  options.consumers = 1;
  options.work_ns = 0;
  options.late_chance = 0.5;
  return options;
}

/// Elders time out while they wait for memory; the small ones behind them wait for the elders.
WorldOptions local_elders_end() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.clients = 3;
  options.local_clients = true;
  options.keys = 1;
  options.messages = 60;
  options.window = 12;
  options.large_chance = 0.3;
  options.large_bytes = 5'000'000;
  options.memory_bytes = 6'000'000;
  options.deadline_chance = 0.4;
  options.ends_before_heal = true;  // nobody waits for an elder that is gone
  options.safety_ns = 900 * kMs;    // less than a hold lasts
  return options;
}

/// Sessions end while large messages are on their way, and their senders give them up.
WorldOptions sessions_end_in_the_middle() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 2;
  options.messages = 60;
  options.window = 10;
  options.large_chance = 0.5;
  options.large_bytes = 2'000'000;
  options.bytes_per_s = 60'000'000;
  options.deadline_chance = 0.6;
  options.cancel_chance = 0.2;
  for (std::uint32_t at = 0; at < 16; ++at)
    options.faults.push_back(
        {FaultKind::kControlReset, (5 + 9 * at) * kMs, kMs, at % 2, 2 + at / 2 % 2, 0});
  return options;
}

/// Headers fill a frame each, so that a second attempt may come without its elder's withdrawal.
WorldOptions withdrawals_get_lost(std::uint64_t seed) {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.clients = 2;
  options.seed = seed;
  options.keys = 2;
  options.messages = 200;
  options.window = 30;
  options.long_key_chance = 1;
  options.large_chance = 0.7;
  options.large_bytes = 300'000;
  options.max_packet_bytes = 1'200;
  options.message_slots = 4'096;
  options.bytes_per_s = 60'000'000;
  options.cancel_chance = 0.3;
  options.deadline_chance = 0.2;
  options.delay_ns = kMs;
  options.safety_ns = 2 * kSecondNs;
  options.faults.push_back({FaultKind::kLoss, 0, options.safety_ns, 0, 0, 0.2});
  return options;
}

/// One key, whose consumers die, stop serving and come back while others of it wait.
WorldOptions consumers_come_and_go() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 2;
  options.keys = 1;
  options.consumers = 1;
  options.messages = 300;
  options.window = 60;
  options.work_ns = 2 * kMs;
  options.retry_chance = 0.3;
  options.accepted_chance = 0.3;
  options.message_slots = 4'096;
  options.program_grace_ns = 4 * kMs;
  for (std::uint32_t at = 0; at < 6; ++at) {
    options.faults.push_back(
        {FaultKind::kProgramCrash, (6 + 30 * at) * kMs, 24 * kMs, at % 2, 0, 0});
    options.faults.push_back({FaultKind::kAway, (20 + 30 * at) * kMs, 24 * kMs, at % 2, 0, 0});
  }
  return options;
}

/// An engine drains while messages have just come back to it from a dead program.
WorldOptions drains_what_came_back() {
  WorldOptions options = calm();
  options.servers = 3;
  options.clients = 2;
  options.consumers = 1;
  options.keys = 4;
  options.messages = 400;
  options.window = 60;
  options.message_slots = 4'096;
  options.work_ns = 3 * kMs;
  for (std::uint32_t at = 0; at < 6; ++at) {
    options.faults.push_back(
        {FaultKind::kProgramCrash, (5 + 25 * at) * kMs, 20 * kMs, at % 3, 0, 0});
    options.faults.push_back({FaultKind::kDrain, (6 + 25 * at) * kMs, 5 * kMs, at % 3, 0, 0});
  }
  return options;
}

/// Callers stand still with more answers than their queue holds, time out, and die.
WorldOptions callers_stand_still_and_die() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 4;
  options.messages = 600;
  options.window = 300;
  options.call_chance = 1;
  options.deadline_chance = 0.5;
  options.message_slots = 4'096;
  options.work_ns = 2 * kMs;
  options.large_chance = 0.4;
  options.large_bytes = 3'000;
  for (std::uint32_t at = 0; at < 4; ++at) {
    options.faults.push_back({FaultKind::kClientStop, 6 * kMs, 90 * kMs, at, 0, 0});
    options.faults.push_back({FaultKind::kClientStop, 110 * kMs, 60 * kMs, at, 0, 0});
  }
  options.faults.push_back({FaultKind::kClientCrash, 130 * kMs, kMs, 0, 0, 0});
  options.faults.push_back({FaultKind::kClientCrash, 30 * kMs, kMs, 1, 0, 0});
  return options;
}

/// Answers are lost for a while, so that calls are processed, time out, or lose their caller.
WorldOptions answers_get_lost() {
  WorldOptions options = calm();
  options.servers = 1;
  options.secondaries = 0;
  options.clients = 4;
  options.messages = 300;
  options.window = 40;
  options.call_chance = 1;
  options.deadline_chance = 0.5;
  options.large_chance = 0.3;
  options.large_bytes = 60'000;
  options.faults.push_back({FaultKind::kLoss, 0, options.safety_ns, 0, 0, 0.3});
  for (std::uint32_t at = 0; at < 3; ++at)
    options.faults.push_back({FaultKind::kClientCrash, (12 + 11 * at) * kMs, kMs, at, 0, 0});
  return options;
}

/// What is cancelled is at a node that stands still; the rest of its key goes on elsewhere.
WorldOptions cancelled_at_a_hung_node() {
  WorldOptions options = calm();
  options.servers = 3;
  options.clients = 2;
  options.secondaries = 2;
  options.keys = 2;
  options.messages = 300;
  options.window = 30;
  options.cancel_chance = 0.5;
  options.pause_ns = kMs;
  options.safety_ns = 800 * kMs;
  for (std::uint32_t at = 0; at < 3; ++at)
    options.faults.push_back({FaultKind::kPause, (10 + 220 * at) * kMs, 200 * kMs, at, 0, 0});
  return options;
}

/// Calls are cancelled when they are at a node that takes no answers any more.
WorldOptions cancelled_while_it_leaves() {
  WorldOptions options = calm();
  options.servers = 2;
  options.clients = 2;
  options.messages = 600;
  options.window = 60;
  options.call_chance = 1;
  options.cancel_chance = 0.5;
  options.work_ns = 4 * kMs;
  for (std::uint32_t at = 0; at < 6; ++at)
    options.faults.push_back({FaultKind::kDrain, (8 + 30 * at) * kMs, 5 * kMs, at % 2, 0, 0});
  return options;
}

/// Programs of one node that are at home with different workers call each other's keys.
WorldOptions workers_answer_each_other() {
  WorldOptions options = calm();
  options.servers = 2;
  options.workers = 3;
  options.clients = 4;
  options.local_clients = true;
  options.keys = 4;
  options.messages = 300;
  options.window = 60;
  options.call_chance = 0.5;
  options.node_chance = 0.2;
  options.accepted_chance = 0.2;
  options.retry_chance = 0.1;
  options.cancel_chance = 0.1;
  options.large_chance = 0.1;
  return options;
}

}  // namespace

std::vector<Directed> directed_worlds() {
  std::vector<Directed> worlds{
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
      {"accepted_where_nobody_serves", "and credit for the rest", accepted_where_nobody_serves()},
      {"long_and_lossy", "more packets than any window, some of them lost", long_and_lossy()},
      {"long_and_clean", "nothing is lost, so that nothing may be sent again", long_and_clean()},
      {"many_announced", "more announced messages than may be open at once", many_announced()},
      {"wide_path", "more is under way than one grant allows", wide_path()},
      {"gaps_in_sequence", "sequence numbers that pass the duplicate window many times",
       gaps_in_sequence()},
      {"laps_of_the_duplicate_window", "cells that served other numbers before",
       laps_of_the_duplicate_window()},
      {"few_losses_on_a_wide_path", "little more is sent again than was lost",
       few_losses_on_a_wide_path()},
      {"programs_act_as_engines_fall_asleep", "and nothing else wakes these",
       programs_act_as_engines_fall_asleep()},
      {"local_elders_end", "elders end while they wait for memory", local_elders_end()},
      {"sessions_end_in_the_middle", "of large messages", sessions_end_in_the_middle()},
      {"withdrawals_get_lost", "and second attempts come", withdrawals_get_lost(1)},
      {"withdrawals_get_lost_again", "while the first are part-received", withdrawals_get_lost(2)},
      {"consumers_come_and_go", "with one key between them", consumers_come_and_go()},
      {"drains_what_came_back", "from a dead program", drains_what_came_back()},
      {"callers_stand_still_and_die", "with full queues", callers_stand_still_and_die()},
      {"answers_get_lost", "and their callers die", answers_get_lost()},
      {"cancelled_at_a_hung_node", "and the rest goes on elsewhere", cancelled_at_a_hung_node()},
      {"cancelled_while_it_leaves", "and takes no answers any more", cancelled_while_it_leaves()},
      {"workers_answer_each_other", "programs of one node at home with different workers",
       workers_answer_each_other()},
  };
  for (std::vector<Directed>& more : std::vector{control_worlds(), fault_worlds(), worker_worlds(),
                                                 short_way_worlds(), run_worlds()})
    std::move(more.begin(), more.end(), std::back_inserter(worlds));
  return worlds;
}

}  // namespace ringwire::sim
