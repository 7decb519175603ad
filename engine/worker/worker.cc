#include "engine/worker/worker.h"

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "engine/worker/crossing.h"
#include "engine/worker/deadlines.h"
#include "engine/worker/worker_state.h"

namespace ringwire::worker {

std::uint64_t worker_memory_bytes(const WorkerConfig& config) {
  return config.out_messages * (sizeof(OutMessage) + 2 * sizeof(Flight)) +
         runs_for(config.out_messages) * sizeof(OutRun) +
         runs_for(config.in_messages) * sizeof(InRun) +
         2 * HashIndex::memory_bytes(config.out_messages) +
         config.in_messages * (sizeof(InMessage) + sizeof(ShortMessage) + sizeof(ShortBody)) +
         3 * HashIndex::memory_bytes(config.in_messages) +
         DuplicateWindows::memory_bytes(config.duplicate_windows) +
         (config.worker_count - 1) * transport::Session::memory_bytes(kCrossingSlots) +
         Crossing::memory_bytes(config.worker_count) + kMaxChannels * sizeof(Channel) +
         HashIndex::memory_bytes(kMaxChannels) + most_notices_waiting(config) * sizeof(Notice) +
         Deadlines::memory_bytes(2 * config.out_messages) + CommandBox::memory_bytes() +
         NoticeBox::memory_bytes() + ipc::kMaxNodes * sizeof(Node) +
         HashIndex::memory_bytes(ipc::kMaxNodes * kMaxWorkers);
}

Worker::Worker(const WorkerConfig& config, port::Port& port, CommandBox& commands,
               NoticeBox& notices, TimeNs now)
    : state_(std::make_unique<State>(config, port, commands, notices, now)) {}

Worker::~Worker() = default;

bool Worker::turn(TimeNs now) {
  State& state = *state_;
  Core& core = state.core;
  core.now = now;
  core.worked = false;
  core.handed_over = false;
  const bool siblings = core.config.worker_count > 1;
  if (siblings) state.receive_from_siblings();
  state.receive();
  state.run_timers();
  state.obey();
  if (state.channels.poll()) state.programs_at_ns = now;
  state.inbound.copy_some();
  state.groups.dispatch();
  // Before what it turns away is sent elsewhere: no later turn may come for that.
  state.keep_house();
  state.outbound.on_time();
  state.outbound.pump();
  state.channels.flush();
  if (siblings) state.transmit_to_siblings();
  state.transmit();
  ++core.counters.turns;
  if (core.worked) ++core.counters.busy_turns;
  return core.worked;
}

// ---- time ---------------------------------------------------------------------------------------

void Worker::State::keep_house() {
  gather_evidence();
  if (core.now < house_at_ns) return;
  house_at_ns = core.now + kRetryNs;
  groups.on_time();
  inbound.on_time();
  if (groups.lent_by_the_gone()) groups.take_from_the_gone();
  for (const auto& pool : core.pools) {
    if (!pool) continue;
    const DurationNs idle = inbound.memory_short() ? 0 : kIdleLargeNs;
    while (core.outbox.has_room()) {
      std::uint32_t file = pool->evict_idle_large(core.now - idle);
      if (file == 0) file = pool->evict_idle_class_file(core.now - idle);
      if (file == 0) break;
      core.outbox.tell(ReturnFile{file});
    }
  }
  check_drained();
}

void Worker::State::gather_evidence() {
  if (core.now < evidence_look_ns) return;
  evidence_look_ns = core.now + kEvidenceLookNs;
  for (Link& link : core.links) {
    if (link.session == nullptr || link.node == core.config.self) continue;
    const TimeNs since = link.session->unanswered_since_ns();
    const bool silent = since != kNeverNs && core.now - since >= kEvidenceNs;
    if (silent && core.now >= link.evidence_at_ns) {
      link.evidence_at_ns = core.now + kEvidenceNs;
      if (core.outbox.try_tell(PeerEvidence{link.node, link.session->last_heard_ns(), since}))
        link.evidence_sent = true;
    } else if (!silent && link.evidence_sent) {
      link.evidence_sent =
          !core.outbox.try_tell(PeerEvidence{link.node, link.session->last_heard_ns(), kNeverNs});
    }
  }
}

void Worker::State::check_drained() {
  if (!core.draining || core.drained_told) return;
  groups.turn_all_away(Reason::kShutdown);
  if ((!outbound.idle() && !RW_MUTANT(116)) || groups.unprocessed() != 0) return;
  for (const Link& link : core.links)  // results that peers wait for are on the wire no longer
    if (link.session && (link.session->bytes_in_flight() != 0)) return;
  core.drained_told = true;
  core.outbox.tell(Drained{});
}

bool Worker::handed_over() const { return state_->core.handed_over; }

TimeNs Worker::next_deadline_ns() const {
  State& state = *state_;
  Core& core = state.core;
  TimeNs next = std::min(state.outbound.next_deadline_ns(), state.groups.next_deadline_ns());
  for (const Link& link : core.links) {
    if (link.session == nullptr) continue;
    const bool sibling = link.node == core.config.self;
    if (!link.destination_open && !sibling) continue;
    next = std::min(next, link.session->next_deadline_ns());
    if (sibling) continue;
    const TimeNs since = link.session->unanswered_since_ns();
    if (since != kNeverNs)
      next = std::min(next,
                      std::max({since + kEvidenceNs, link.evidence_at_ns, state.evidence_look_ns}));
    else if (link.evidence_sent)
      next = std::min(next, std::max(core.now, state.evidence_look_ns));
  }
  if (state.channels.blocked() || state.groups.blocked() || state.crossing_full)
    next = std::min(next, core.now + Channels::kBlockedNapNs);
  for (const auto& pool : core.pools)
    if (pool && pool->may_shrink())
      next = std::min(next, state.inbound.memory_short() ? std::max(state.house_at_ns, core.now)
                                                         : core.now + kIdleLargeNs / 4);
  if (const TimeNs due = state.inbound.next_deadline_ns(); due != kNeverNs)
    next = std::min(next, std::max(due, state.house_at_ns));
  if (state.groups.lent_by_the_gone()) next = std::min(next, state.house_at_ns);
  if (core.draining && !core.drained_told) next = std::min(next, state.house_at_ns);
  return next;
}

bool Worker::prepare_sleep() {
  State& state = *state_;
  if (!state.commands.empty() || !state.core.outbox.clear()) return false;
  if (state.inbound.copying() || state.unsent_count != 0) return false;
  const WorkerConfig& config = state.core.config;
  if (config.worker_count > 1) {
    config.crossing->sleeper(config.index).lie_down();
    for (std::uint32_t other = 0; other < config.worker_count; ++other)
      if (other != config.index && !config.crossing->box(other, config.index).empty()) return false;
  }
  return state.channels.park_all();
}

std::uint32_t Worker::take_wakes() { return std::exchange(state_->wakes, 0); }

void Worker::wake() {
  const WorkerConfig& config = state_->core.config;
  if (config.worker_count > 1) config.crossing->sleeper(config.index).get_up();
}

void Worker::wake_channel(ChannelIndex index) { state_->channels.touch(index); }

std::vector<Worker::BellChange>& Worker::bell_changes() { return state_->core.bell_changes; }

}  // namespace ringwire::worker
