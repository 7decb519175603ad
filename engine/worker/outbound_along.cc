// The rest of a stream: what follows a message that was just put into a run, and differs from it in
// nothing but its key and its bytes, goes into the same run without being asked all that take(),
// accept() and take_run() ask, for the answers would be the same. Whatever is not quite so is left
// where it is, for them.
#include <algorithm>

#include "engine/worker/outbound.h"

namespace ringwire::worker {
namespace {

/// Whether those of `slot` go where those of another slot go, by the same view.
class SameWay {
 public:
  /// `slot` goes to the worker of the run.
  SameWay(const Core& core, const OutRun& run, std::uint32_t slot)
      : view_(run.target == ipc::TargetKind::kKey ? core.view.get() : nullptr),
        workers_(core.nodes[run.node].remote_worker_count),
        slot_(slot),
        worker_(slot % workers_),
        owner_(view_ == nullptr ? ring::MemberIndex{} : view_->replicas_of(slot).front()) {}

  [[nodiscard]] bool operator()(std::uint32_t slot) const {
    return slot == slot_ || ((view_ == nullptr || view_->replicas_of(slot).front() == owner_) &&
                             (workers_ == 1 || slot % workers_ == worker_));
  }

 private:
  const ring::View* view_;  ///< nullptr: they name their node
  std::uint32_t workers_;
  std::uint32_t slot_;
  std::uint32_t worker_;
  ring::MemberIndex owner_;
};

}  // namespace

/// Those behind the message in the channel's stash, which was the last to go into this run, as many
/// as go with it, but at most `most`; how many they were.
std::uint32_t Outbound::take_along(ChannelIndex index, std::uint32_t at, std::uint32_t most) {
  Channel& channel = core_.channels[index];
  if (!channel.ipc->submission_waits()) return 0;
  OutRun& run = core_.out_runs[at];
  // More than a quarter of all records taken: then each has to be asked for (has_share).
  const std::uint32_t plenty = core_.outs.capacity() - core_.outs.capacity() / 4;
  const std::uint32_t free = core_.outs.free_count();
  const std::uint32_t open = channel.open_count() + channel.lent;
  if (!channel.outstanding.empty() || free <= plenty || open >= kMaxOutstandingPerChannel) return 0;
  most = std::min({most, run.most - run.count, free - plenty, kMaxOutstandingPerChannel - open});
  ipc::Submission& next = channel.stash;
  const SameWay same_way(core_, run, slot_of(next.hash));
  const std::uint16_t flags = next.flags;
  const NodeIndex node = next.node;
  std::uint64_t sequence = next.sequence;
  std::uint32_t count = 0;
  for (; count < most; ++count) {
    const std::byte* const inline_bytes = channel.ipc->peek_submission(next);
    if (inline_bytes == nullptr) break;
    const std::uint64_t offset = next.sequence - run.first_sequence;
    if (next.flags != flags || static_cast<ipc::TargetKind>(next.target) != run.target ||
        static_cast<Level>(next.level) != run.level || next.service != run.service ||
        next.extent_file != 0 || next.deadline_ns != 0 || next.priority != 0 || next.require > 2 ||
        (run.target == ipc::TargetKind::kNode && next.node != node) || next.sequence <= sequence ||
        next.sequence > kMaxSequence || offset > 0xffff'ffff)
      break;
    if (next.payload_bytes > ipc::kInlineBytes ||
        next.key_bytes + next.payload_bytes > ipc::kInlineBytes || !same_way(slot_of(next.hash)))
      break;
    const wire::RunEntry entry{next.hash, static_cast<std::uint32_t>(offset),
                               static_cast<std::uint16_t>(next.payload_bytes), next.key_bytes,
                               nullptr};
    if (run.bytes_used + entry.whole_bytes() > run.most_bytes) break;
    std::byte* const place = run.bytes.data() + run.bytes_used;
    wire::put_run_entry(place, entry);
    ipc::copy_once(place + wire::kRunEntryHeaderBytes, inline_bytes, entry.used_bytes());
    channel.ipc->skip_submission();
    run.bytes_used += entry.whole_bytes();
    run.sequence_offset[run.count] = entry.sequence_offset;
    run.deadline_ns[run.count] = 0;
    run.open |= std::uint32_t{1} << run.count++;
    sequence = next.sequence;
  }
  core_.outs.reserve(count);
  channel.next_sequence = sequence + 1;
  channel.submitted += count;
  channel.in_runs += count;
  core_.outs_of[channel.domain] += count;
  core_.counters.taken += count;
  core_.counters.in_flight_now += count;
  return count;
}

}  // namespace ringwire::worker
