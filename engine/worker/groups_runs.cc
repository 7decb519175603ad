// Runs on their way through a group (docs/decisions/0013): while a service has one consumer, and
// nothing stands before them, messages of a run go from the run's bytes into the program's queue
// and have no InMessage. take_apart() gives them theirs before anything else happens: another
// consumer, the end of this one, a message that comes by itself, a second delivery, a failure.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {

// ---- coming -------------------------------------------------------------------------------------

/// The only consumer has nothing before them but runs, and no other holds any of this service.
bool Groups::takes_runs(std::uint16_t service) const {
  const Group& group = groups_[service];
  if (group.consumers.size() != 1 || !group.queued.empty()) return false;
  const Consumer& consumer = consumers_[group.consumers.front()];
  return (consumer.in_flight == group.in_flight || RW_MUTANT(156)) && consumer.pending.empty() &&
         consumer.shorts.empty();
}

void Groups::enqueue_run(std::uint32_t at) {
  InRun& run = core_.in_runs[at];
  Group& group = groups_[run.service];
  run.state = InRun::State::kWhole;
  run.consumer = group.consumers.front();
  run.channel = consumers_[run.consumer].channel;
  run.given = 0;
  run.given_bytes = 0;
  run.arrival = core_.next_order + 1;
  core_.next_order += run.header.count;
  group.runs.push_back(core_.in_runs, at);
  group.in_runs += run.header.count;
  if (group.giving == kNone) group.giving = at;
  some_wait_ = true;
  give_runs(group);
}

/// Hands out what there is room for.
void Groups::give_runs(Group& group) {
  while (group.giving != kNone) {
    InRun& run = core_.in_runs[group.giving];
    Consumer& consumer = consumers_[run.consumer];
    const std::uint32_t left = run.header.count - run.given;
    const std::uint32_t room =
        consumer.prefetch > consumer.in_flight ? consumer.prefetch - consumer.in_flight : 0;
    const std::uint32_t most = RW_MUTANT(75) ? left : std::min(left, room);
    const std::uint32_t given =
        core_.channels_part->deliver_of_run(consumer.channel, group.giving, most);
    consumer.in_flight += given;
    group.in_flight += given;
    group.in_runs -= given;
    if (given != left) return;
    group.giving = run.group_link.next;
  }
}

// ---- going --------------------------------------------------------------------------------------

bool Groups::on_release_of_run(ChannelIndex channel, const ipc::Release& release) {
  const auto low = static_cast<std::uint32_t>(release.token);
  const std::uint32_t at = run_of_token(low);
  const std::uint32_t which = low % wire::kMaxRunMessages;
  const std::uint32_t bit = std::uint32_t{1} << which;
  if (at >= core_.in_runs.capacity()) return false;
  InRun& run = core_.in_runs[at];
  if (run.generation != static_cast<std::uint32_t>(release.token >> 32) ||
      (run.with_program & bit) == 0 || run.channel != channel)
    return false;
  const auto verdict = static_cast<ipc::Verdict>(release.verdict);
  const bool replied = (release.flags & ipc::kReleaseReplied) != 0;
  if (run.state == InRun::State::kWhole && verdict == ipc::Verdict::kDone) {
    if (at != releasing_) finish_releases();
    releasing_ = at;
    releasing_from_ = release.token - which;
    run.with_program &= ~bit;
    run.released |= bit;
    return true;
  }
  if (run.state == InRun::State::kWhole) runs_apart(run.service);
  const std::uint32_t in = run.ins[which];
  lose_token(core_.ins[in]);
  on_release(in, verdict, replied);
  return true;
}

/// Tells of those of a run that were released in a row.
void Groups::finish_releases() {
  const std::uint32_t at = std::exchange(releasing_, kNone);
  if (at == kNone) return;
  InRun& run = core_.in_runs[at];
  const std::uint32_t mask = std::exchange(run.released, 0);
  const auto count = static_cast<std::uint32_t>(std::popcount(mask));
  consumers_[run.consumer].in_flight -= count;
  core_.channels[run.channel].held_of_runs -= count;
  Group& group = groups_[run.service];
  group.in_flight -= count;
  if (mask == run.open) group.runs.remove(core_.in_runs, at);
  core_.inbound->finish_in_run(at, mask);
}

void Groups::lose_token(InMessage& message) {
  if (message.token_run == kNone) return;
  InRun& run = core_.in_runs[message.token_run];
  run.with_program &= ~(std::uint32_t{1} << message.run_index);
  core_.inbound->give_run_back(std::exchange(message.token_run, kNone));
}

// ---- taking apart -------------------------------------------------------------------------------

void Groups::take_apart(std::uint32_t at) {
  InRun& run = core_.in_runs[at];
  Group& group = groups_[run.service];
  if (group.giving == at) group.giving = run.group_link.next;
  group.runs.remove(core_.in_runs, at);
  run.state = InRun::State::kApart;
  std::uint32_t offset = 0;
  for (std::uint32_t which = 0; which < run.header.count; ++which) {
    const wire::RunEntry entry = wire::run_entry_at(run.bytes.data() + offset);
    offset += entry.whole_bytes();
    const std::uint32_t bit = std::uint32_t{1} << which;
    if ((run.open & bit) == 0) continue;
    core_.inbound->make_record(at, which, entry);
    const std::uint32_t in = run.ins[which];
    InMessage& message = core_.ins[in];
    if (which >= run.given) {
      --group.in_runs;
      enqueue_one(in, run.arrival + which);
      continue;
    }
    message.arrival = run.arrival + which;
    message.state = InState::kDelivered;
    message.deliveries = 1;
    message.channel = run.channel;
    message.consumer = run.consumer;
    message.token_run = at;
    // Others of its key may wait there for room, or other consumers come.
    bind(message, run.consumer);
    --core_.channels[run.channel].held_of_runs;
    core_.channels[run.channel].held.push_back(core_.ins, in);
  }
}

/// All of a service, in their order: what one still has stands before what the next has.
void Groups::runs_apart(std::uint16_t service) {
  Group& group = groups_[service];
  finish_releases();
  while (!group.runs.empty()) take_apart(group.runs.front());
}

void Groups::waiting_apart(std::uint16_t service) {
  if (groups_[service].giving != kNone) runs_apart(service);
  if (groups_[service].shorts != 0 && !RW_MUTANT(130)) core_.short_way->enlist_waiting(service);
}

void Groups::all_runs_apart() {
  for (std::uint16_t service = 0; service < core_.services.size(); ++service) runs_apart(service);
}

}  // namespace ringwire::worker
