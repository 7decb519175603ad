// Runs as they arrive (docs/decisions/0013): each waits for the one that its sender named before
// it; when one of its messages is turned away so that it will come again, all that came behind it
// in the channel's runs of this generation are turned away, too, so that none overtakes it (W-73,
// W-74).
#include <bit>
#include <cstring>

#include "base/mutant.h"
#include "engine/worker/groups.h"
#include "engine/worker/inbound.h"

namespace ringwire::worker {

void OutRun::reset() {
  link = {};
  channel_link = {};
  state = State::kFree;
  apart = false;
  count = bytes_used = open = 0;
  due_ns = kNeverNs;
}

void InRun::reset() {
  link = {};
  state = State::kFree;
  group_link = {};
  open = called_back = with_program = released = given = given_bytes = bytes_used = 0;
}

void Inbound::on_run(std::uint32_t link_index, const transport::Event& event) {
  Link& link = core_.links[link_index];
  const std::uint32_t all = wire::run_mask(event.run.count);
  const bool room = event.payload.size() <= kRunBytes && held_runs_.count() < kMostHeldRuns;
  const std::uint32_t at = room ? core_.in_runs.take() : std::uint32_t{kNone};
  if (at == kNone) {
    // It comes again, message by message; so do those behind it.
    const bool comes_again = event.run.level != Level::kNone;
    if (comes_again) {
      link.session->settle_run(event.number, all, Ending::kFailed, Reason::kNone);
      core_.windows.end_runs(link.node, event.run.id, event.run.generation);
    }
    link.session->release_run(event.number, all);
    return admit_after(link_index, static_cast<std::uint32_t>(event.number));
  }
  InRun& run = core_.in_runs[at];
  run.link_index = link_index;
  run.link_epoch = link.session_epoch;
  run.number = event.number;
  run.header = event.run;
  run.header.service = {};
  run.open = all;
  run.bytes_used = static_cast<std::uint32_t>(event.payload.size());
  run.service = service_named(event.run.service);
  run.ins.fill(kNone);
  std::memcpy(run.bytes.data(), event.payload.data(), event.payload.size());
  link.session->tag(event.number, at);
  // The one before it has not come, or waits itself.
  if ((event.waits || held_run(link_index, event.run.after) != kNone) && !RW_MUTANT(154)) {
    run.state = InRun::State::kHeld;
    held_runs_.push_back(core_.in_runs, at);
    return;
  }
  admit_run(at);
  admit_after(link_index, static_cast<std::uint32_t>(event.number));
}

std::uint32_t Inbound::held_run(std::uint32_t link_index, std::uint32_t number) const {
  for (std::uint32_t at = number == 0 ? kNone : held_runs_.front(); at != kNone;
       at = IndexList<InRun>::next(core_.in_runs, at)) {
    const InRun& run = core_.in_runs[at];
    if (run.link_index == link_index && static_cast<std::uint32_t>(run.number) == number) return at;
  }
  return kNone;
}

/// Those that wait for this run, and those that wait for them: as they came.
void Inbound::admit_after(std::uint32_t link_index, std::uint32_t number) {
  for (std::uint32_t at = held_runs_.front(); at != kNone;) {
    const InRun& run = core_.in_runs[at];
    if (run.link_index != link_index || run.header.after != number) {
      at = IndexList<InRun>::next(core_.in_runs, at);
      continue;
    }
    const auto admitted = static_cast<std::uint32_t>(run.number);
    held_runs_.remove(core_.in_runs, at);
    admit_run(at);
    admit_after(link_index, admitted);
    at = held_runs_.front();
  }
}

void Inbound::drop_held_runs(std::uint32_t link_index) {
  for (std::uint32_t at = held_runs_.front(); at != kNone;) {
    const std::uint32_t next = IndexList<InRun>::next(core_.in_runs, at);
    if (core_.in_runs[at].link_index == link_index) {
      held_runs_.remove(core_.in_runs, at);
      core_.in_runs[at].state = InRun::State::kFree;
      core_.in_runs.give_back(at);
    }
    at = next;
  }
}

/// Whether it may go through as it is; then it is on its way.
bool Inbound::take_whole(std::uint32_t at) {
  InRun& run = core_.in_runs[at];
  const Link& link = core_.links[run.link_index];
  const std::uint32_t count = run.header.count;
  if (run.called_back != 0 || run.service >= core_.services.size() || !core_.config.server ||
      core_.draining || !core_.groups->takes_runs(run.service) || !has_room_for(run.service, count))
    return false;
  if (run.header.level != Level::kNone &&
      core_.windows.runs_ended(link.node, run.header.id, run.header.generation))
    return false;
  std::uint32_t offset = 0;
  for (std::uint32_t which = 0; which < count; ++which) {
    const wire::RunEntry entry = wire::run_entry_at(run.bytes.data() + offset);
    if (entry.used_bytes() > ipc::kInlineBytes) return false;
    run.sequence_offset[which] = entry.sequence_offset;
    offset += entry.whole_bytes();
  }
  if (!core_.windows.mark_run(link.node, run.header.id, {run.sequence_offset.data(), count}))
    return false;
  core_.ins.reserve(count);
  in_use_[run.service] += count;
  core_.counters.received += count;
  if (run.header.level == Level::kAccepted)
    link.session->settle_run(run.number, run.open, Ending::kDone, Reason::kNone);
  const MessageId first = run.header.id;
  const std::array<std::uint32_t, wire::kMaxRunMessages> offsets = run.sequence_offset;
  core_.groups->enqueue_run(at);
  if (held_.empty()) return true;
  for (std::uint32_t which = 0; which < count; ++which) {
    MessageId id = first;
    id.sequence += offsets[which];
    wake_waiters(id);
  }
  return true;
}

/// has_room() for so many at once; where only some would fit, they come in one by one.
bool Inbound::has_room_for(std::uint16_t service, std::uint32_t count) const {
  const std::uint32_t all = core_.ins.capacity();
  const std::uint32_t kept = all / 8 + all / kFirstShare;
  const std::uint32_t free = core_.ins.free_count();
  return free > all / 2 && free > kept + count && in_use_[service] + count < free - kept;
}

void Inbound::make_record(std::uint32_t at, std::uint32_t which, const wire::RunEntry& entry) {
  InRun& run = core_.in_runs[at];
  const Link& link = core_.links[run.link_index];
  const std::uint32_t in = core_.ins.take_reserved();
  run.ins[which] = in;
  InMessage& message = core_.ins[in];
  message.settled = run.header.level == Level::kAccepted;
  message.order_none = (run.header.flags & wire::kOrderNone) != 0;
  message.service = run.service;
  message.link_index = run.link_index;
  message.link_epoch = run.link_epoch;
  message.number = run.number;
  message.run = at;
  message.run_index = which;
  message.origin_node = link.node;
  message.origin_worker = static_cast<std::uint16_t>(link.remote_worker);
  message.domain = core_.groups->domain(run.service);
  message.key_bytes = entry.key_bytes;
  wire::MessageHeader& header = message.header;
  header.id = run.header.id;
  header.id.sequence += entry.sequence_offset;
  header.hash = entry.hash;
  header.epoch = run.header.epoch;
  header.payload_bytes = entry.payload_bytes;
  header.flags = run.header.flags;
  header.level = run.header.level;
  std::memcpy(message.bytes.data(), entry.bytes, entry.used_bytes());
  message.identity_key = core_.identity_key(header.id);
  core_.in_by_identity.put(message.identity_key, in);
}

void Inbound::finish_in_run(std::uint32_t at, std::uint32_t mask) {
  InRun& run = core_.in_runs[at];
  const Link& link = core_.links[run.link_index];
  core_.windows.mark_run_done(link.node, run.header.id,
                              {run.sequence_offset.data(), run.header.count}, mask);
  // The session is there as long as the run is whole.
  if (run.header.level == Level::kProcessed)
    link.session->settle_run(run.number, mask, Ending::kDone, Reason::kNone);
  link.session->release_run(run.number, mask);
  const auto count = static_cast<std::uint32_t>(std::popcount(mask));
  core_.ins.give_up_reserved(count);
  in_use_[run.service] -= count;
  core_.came_back_since_full += count;
  run.open &= ~mask;
  give_run_back(at);
}

void Inbound::give_run_back(std::uint32_t at) {
  InRun& run = core_.in_runs[at];
  if (run.open != 0 || run.with_program != 0) return;
  run.state = InRun::State::kFree;
  core_.in_runs.give_back(at);
}

/// Its messages go on as if each had come by itself, unless it may go through whole.
void Inbound::admit_run(std::uint32_t at) {
  if (take_whole(at)) return;
  InRun& run = core_.in_runs[at];
  run.state = InRun::State::kApart;
  const std::uint32_t generation = run.generation;
  const NodeIndex node = core_.links[run.link_index].node;
  wire::MessageHeader header;
  header.epoch = run.header.epoch;
  header.flags = run.header.flags;
  header.level = run.header.level;
  const std::uint32_t link_index = run.link_index;
  const transport::MessageNumber number = run.number;
  const std::uint32_t count = run.header.count;
  std::uint32_t offset = 0;
  for (std::uint32_t which = 0; which < count; ++which) {
    const wire::RunEntry entry = wire::run_entry_at(run.bytes.data() + offset);
    offset += entry.whole_bytes();
    const std::uint32_t bit = std::uint32_t{1} << which;
    header.id = run.header.id;
    header.id.sequence += entry.sequence_offset;
    if ((run.called_back & bit) != 0) {
      settle_in_run(at, which, Ending::kFailed, Reason::kCancelled);
      leave_run(at, which);
    } else if (header.level != Level::kNone && !RW_MUTANT(155) &&
               core_.windows.runs_ended(node, header.id, run.header.generation)) {
      settle_in_run(at, which, Ending::kFailed, Reason::kNone);
      leave_run(at, which);
    } else {
      header.hash = entry.hash;
      header.payload_bytes = entry.payload_bytes;
      header.key = {entry.bytes, entry.key_bytes};
      on_message({link_index, number, kNone, at, which}, header, entry.bytes + entry.key_bytes,
                 true);
    }
    if (core_.in_runs[at].generation != generation) return;  // the last of it is over
  }
}

void Inbound::on_run_withdrawn(std::uint32_t link_index, const transport::Event& event) {
  const std::uint32_t at = event.cookie;
  if (at == transport::Session::kNoTag) return;
  for (std::uint32_t left = event.mask; left != 0; left &= left - 1) {
    const auto which = static_cast<std::uint32_t>(std::countr_zero(left));
    InRun& run = core_.in_runs[at];
    if (run.state == InRun::State::kFree || run.link_index != link_index ||
        run.number != event.number || (run.open >> which & 1) == 0)
      return;
    if (run.state == InRun::State::kHeld) {
      run.called_back |= std::uint32_t{1} << which;  // told in its turn
      continue;
    }
    if (run.state == InRun::State::kWhole) core_.groups->runs_apart(run.service);
    const std::uint32_t in = run.ins[which];
    if (in == kNone) continue;
    const InMessage& message = core_.ins[in];
    if ((message.deliveries != 0 && !RW_MUTANT(71)) || message.settled) continue;
    const NodeIndex node = message.origin_node;
    const wire::MessageHeader header = message.header;
    finish(in, Ending::kFailed, Reason::kCancelled);
    withdrawn(node, header.id, header.predecessor);
  }
}

/// Tells its sender, if that is still there.
void Inbound::settle_in_run(std::uint32_t at, std::uint32_t which, Ending ending, Reason reason) {
  const InRun& run = core_.in_runs[at];
  const Link& link = core_.links[run.link_index];
  if (ending == Ending::kFailed) {
    MessageId id = run.header.id;
    core_.windows.end_runs(link.node, id, run.header.generation);
  }
  if (link.session_epoch != run.link_epoch || link.session == nullptr) return;
  link.session->settle_run(run.number, std::uint32_t{1} << which, ending, reason);
}

/// Nothing of this message is the run's any more: its credit goes back.
void Inbound::leave_run(std::uint32_t at, std::uint32_t which) {
  InRun& run = core_.in_runs[at];
  const std::uint32_t bit = std::uint32_t{1} << which;
  if ((run.open & bit) == 0) return;
  const Link& link = core_.links[run.link_index];
  if (link.session_epoch == run.link_epoch && link.session != nullptr)
    link.session->release_run(run.number, bit);
  run.open &= ~bit;
  give_run_back(at);
}

}  // namespace ringwire::worker
