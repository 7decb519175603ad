// Outcomes and calls of a channel (program_channel.h).
#include <algorithm>
#include <cstring>
#include <utility>

#include "ipc/deadline.h"
#include "ipc/last_error.h"
#include "ipc/program_channel.h"

namespace ringwire::ipc {

// The send has ended: its memory is free again, unless a program still reads it.
void ProgramChannel::finish(std::uint64_t sequence, Memory memory) {
  const Extent extent = book_.extent(sequence);
  book_.remove(sequence);
  if (!extent.empty() && memory == Memory::kFree) transmit_.give_back(*side_->link, extent);
}

void ProgramChannel::keep_lent(std::uint64_t sequence) {
  const Extent extent = book_.extent(sequence);
  if (!extent.empty()) lent_.emplace(sequence, extent);
}

void ProgramChannel::free_lent(std::uint64_t sequence) {
  const auto found = lent_.find(sequence);
  if (found == lent_.end()) return;
  const Extent extent = found->second;
  lent_.erase(found);
  transmit_.give_back(*side_->link, extent);
}

void ProgramChannel::describe(const EndedSend& ended, rw_outcome& outcome) {
  outcome = {};
  outcome.ticket = ended.sequence;
  outcome.ending = ended.ending;
  outcome.reason = ended.reason;
  outcome.level = ended.level + std::uint32_t{RW_LEVEL_NONE};
  outcome.attempts = ended.attempts;
  const std::string& node = names_.text(ended.node);
  std::memcpy(outcome.node, node.c_str(), std::min(node.size() + 1, sizeof outcome.node));
}

int ProgramChannel::wait(rw_ticket ticket, std::int64_t timeout_ns, rw_outcome* outcome) {
  const TimeNs deadline = deadline_of(timeout_ns);
  book_.forget_shown_targets();
  for (;;) {
    EndedSend ended;
    if (book_.take(ticket, ended)) {
      if (outcome != nullptr) describe(ended, *outcome);
      return RW_OK;
    }
    if (book_.find(ticket) == nullptr) return fail(RW_ESTALE, "no such ticket is outstanding");
    if (const int error = attached(deadline); error != RW_OK) return error;
    pump_replay();
    if (drain(*side_) > 0) continue;
    look_for_death();
    if (inbox_count_ >= kMaxInbox)
      return fail(RW_EAGAIN, "%zu messages wait to be received first", inbox_count_);
    if (deadline == 0) {
      if (arm_event()) continue;
      if (std::exchange(messages_unseen_, false)) show_again();
      return fail(RW_EAGAIN, "no outcome yet");
    }
    if (const int error = pause(deadline, Want::kEntries, 0); error != RW_OK)
      return fail(error, "no outcome within the time");
  }
}

int ProgramChannel::poll(rw_outcome* outcomes, int max) {
  book_.forget_shown_targets();
  outcomes_unseen_ = false;
  if (side_->queues != nullptr) side_->queues->flush();
  if (!book_.any_kept() && idle()) return 0;
  for (;;) {
    const int error = attached(0);
    std::size_t drained = 0;
    if (error == RW_OK) {
      pump_replay();
      drained = drain(*side_);
    }
    int count = 0;
    EndedSend ended;
    while (count < max && book_.take_oldest(ended)) describe(ended, outcomes[count++]);
    if (count > 0) return count;
    if (error != RW_OK && error != RW_EAGAIN) return error;
    if (drained > 0) continue;
    if (error == RW_OK) look_for_death();
    if (inbox_count_ >= kMaxInbox) return 0;  // what waits behind comes with what is received
    if (arm_event() && !side_->link->dead()) continue;
    if (std::exchange(messages_unseen_, false)) show_again();
    return 0;
  }
}

int ProgramChannel::flush() {
  if (const int error = attached(0); error != RW_OK) return error;
  side_->queues->flush();
  return RW_OK;
}

int ProgramChannel::outcome_targets(rw_ticket ticket, rw_outcome* targets, int max) {
  const std::vector<EndedSend>* kept = book_.targets(ticket);
  if (kept == nullptr) return fail(RW_ESTALE, "no targets are kept of that ticket");
  const int count = std::min(max, static_cast<int>(kept->size()));
  for (int index = 0; index < count; ++index)
    describe((*kept)[static_cast<std::size_t>(index)], targets[index]);
  return count;
}

int ProgramChannel::cancel(rw_ticket ticket) {
  if (book_.find(ticket) == nullptr) return fail(RW_ESTALE, "no such ticket is outstanding");
  if (const int error = attached(kNeverNs); error != RW_OK) return error;
  for (;;) {
    pump_replay();
    if (book_.find(ticket) == nullptr) return RW_OK;  // it has ended meanwhile
    Submission* place = replaying() ? nullptr : side_->queues->submissions().claim();
    if (place != nullptr) {
      *place = {};
      place->sequence = ticket;
      place->flags = kSubmitCancel;
      side_->queues->publish_submissions();
      side_->queues->flush();
      return RW_OK;
    }
    if (drain(*side_) > 0) continue;
    if (inbox_count_ >= kMaxInbox)
      return fail(RW_EAGAIN, "%zu messages wait to be received first", inbox_count_);
    pause(kNeverNs, Want::kSubmissionRoom, 0);
    if (const int error = attached(kNeverNs); error != RW_OK) return error;
  }
}

int ProgramChannel::callable(const rw_target& target) {
  const auto kind = static_cast<TargetKind>(target.kind);
  if (kind != TargetKind::kBroadcast && kind != TargetKind::kReplicas) return RW_OK;
  return fail(RW_EINVAL, "a call has one answer, so one target: not a broadcast or all replicas");
}

int ProgramChannel::call(const rw_target& target, const void* data, std::size_t bytes,
                         const rw_send_options& options, rw_message** reply, rw_outcome* outcome) {
  rw_ticket ticket = 0;
  if (const int error = callable(target); error != RW_OK) return error;
  if (const int error = send(target, data, bytes, options, kSubmitCall, &ticket); error != RW_OK)
    return error;
  // Whatever ends this: a late answer is not the next call's.
  struct Asking {
    ~Asking() { ticket = 0; }
    std::uint64_t& ticket;
  } const asking{call_ticket_};
  call_ticket_ = ticket;
  int result = RW_OK;
  EndedSend ended;
  for (;;) {
    if (call_reply_ != nullptr || book_.take(ticket, ended)) break;
    result = attached(kNeverNs);
    if (result != RW_OK) break;
    pump_replay();
    if (drain(*side_) > 0) continue;
    if (inbox_count_ >= kMaxInbox)
      result = fail(RW_EAGAIN, "%zu messages wait to be received first", inbox_count_);
    if (result != RW_OK) break;
    pause(kNeverNs, Want::kEntries, 0);
  }
  if (rw_message* answer = std::exchange(call_reply_, nullptr)) {
    answer->live = true;
    *reply = answer;
    if (outcome != nullptr)
      describe({.sequence = ticket,
                .node = names_.intern(answer->origin_node),
                .ending = RW_ENDING_DONE,
                .reason = RW_REASON_NONE,
                .level = static_cast<std::uint8_t>(Level::kProcessed),
                .attempts =
                    static_cast<std::uint8_t>(std::min<std::uint32_t>(answer->entry.attempt, 255))},
               *outcome);
    return RW_OK;
  }
  if (result != RW_OK) return result;
  if (outcome != nullptr) describe(ended, *outcome);
  if (ended.ending == RW_ENDING_FAILED)
    return fail(RW_EFAILED, "the request failed: %s", rw_reason_name(ended.reason));
  if (ended.ending == RW_ENDING_UNKNOWN)
    return fail(RW_EUNKNOWN, "the request may have been handed out: %s",
                rw_reason_name(ended.reason));
  return fail(RW_ENOREPLY, "the request was processed without a reply");
}

}  // namespace ringwire::ipc
