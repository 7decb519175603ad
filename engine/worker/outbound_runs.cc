// Runs as their sender's engine keeps them (docs/decisions/0013): small messages for another worker
// are written, one behind the other, as they go into the packet, and have no record of their own.
// enlist() takes the runs of a channel apart before anything else happens: another kind of message
// of it, a cancel, a failure, a deadline, a change of view, nodes or sessions.
#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "base/mutant.h"
#include "engine/worker/channels.h"
#include "engine/worker/outbound.h"
#include "engine/worker/short_way.h"

namespace ringwire::worker {
namespace {

/// Of what may be asked of a submission; with anything else it goes by itself.
constexpr std::uint16_t kRunSubmitFlags = ipc::kSubmitOrderNone | ipc::kSubmitNoWait;
/// Newest runs of a channel among which one to add to is looked for.
constexpr std::uint32_t kMostRunsSeen = 8;

bool fits_run(const ipc::Submission& submission) {
  return (submission.flags & ~kRunSubmitFlags) == 0 && submission.extent_file == 0 &&
         submission.priority == 0 &&
         submission.level <= static_cast<std::uint8_t>(Level::kProcessed) &&
         submission.require <= 2 && submission.payload_bytes <= ipc::kInlineBytes &&
         submission.key_bytes + submission.payload_bytes <= ipc::kInlineBytes;
}

std::uint16_t flags_of_run(const ipc::Submission& submission) {
  return static_cast<std::uint16_t>(
      ((submission.flags & ipc::kSubmitOrderNone) != 0 ? wire::kOrderNone : 0) |
      ((submission.flags & ipc::kSubmitNoWait) != 0 ? wire::kNoWait : 0));
}

}  // namespace

// ---- taking -------------------------------------------------------------------------------------

/// The link of the worker that takes it, if that is another's and open; else kNone.
std::uint32_t Outbound::run_link(const ipc::Submission& submission) const {
  NodeIndex node = submission.node;
  const std::uint32_t slot = slot_of(submission.hash);
  if (submission.target == static_cast<std::uint8_t>(ipc::TargetKind::kKey)) {
    const ring::View* view = core_.view.get();
    if (view == nullptr || view->type != ring::ClusterType::kHash) return kNone;
    const auto replicas = view->replicas_of(slot);
    if (replicas.empty()) return kNone;
    const ring::Member& owner = view->members[replicas.front()];
    if (owner.state != ring::MemberState::kServing) return kNone;
    node = owner.node_index;
  } else if (submission.target != static_cast<std::uint8_t>(ipc::TargetKind::kNode) ||
             node >= ipc::kMaxNodes) {
    return kNone;
  }
  if (!usable(node)) return kNone;
  const Node& peer = core_.nodes[node];
  const std::uint32_t worker = slot % peer.remote_worker_count;
  if (node == core_.config.self && worker == core_.config.index) return kNone;
  const std::uint32_t link = worker < peer.links.size() ? peer.links[worker] : kNone;
  return link != kNone && core_.links[link].session != nullptr ? link : kNone;
}

/// A run of the channel that this message may be added to, or a new one; kNone: there is none.
std::uint32_t Outbound::open_run(ChannelIndex index, const ipc::Submission& submission,
                                 std::uint32_t link_index) {
  Channel& channel = core_.channels[index];
  const auto level = static_cast<Level>(submission.level);
  const auto target = static_cast<ipc::TargetKind>(submission.target);
  const std::uint16_t flags = flags_of_run(submission);
  const std::uint32_t entry_bytes = wire::kRunEntryHeaderBytes + submission.key_bytes +
                                    static_cast<std::uint32_t>(submission.payload_bytes);
  const std::uint64_t epoch = core_.view ? core_.view->epoch : 0;
  std::uint32_t seen = 0;
  for (std::uint32_t at = channel.runs.back(); at != kNone && seen < kMostRunsSeen;
       at = core_.out_runs[at].channel_link.previous, ++seen) {
    const OutRun& run = core_.out_runs[at];
    if (run.link_index != link_index) continue;
    // Behind the newest of its link in any case: order is that of the runs.
    const bool same = run.state == OutRun::State::kPending && run.level == level &&
                      run.service == submission.service && run.target == target &&
                      run.flags == flags && run.epoch == epoch && run.count < run.most &&
                      run.bytes_used + entry_bytes <= run.most_bytes &&
                      submission.sequence - run.first_sequence <= 0xffff'ffff;
    if (same) return at;
    break;
  }
  Link& link = core_.links[link_index];
  const std::uint32_t most = std::min(
      wire::kMaxRunMessages, link.session->window_messages(core_.services[submission.service]));
  const std::uint32_t most_bytes = std::min(kRunBytes, link.session->max_run_bytes());
  if (most == 0 || entry_bytes > most_bytes) return kNone;
  const std::uint32_t at = core_.out_runs.take();
  if (at == kNone) return kNone;
  OutRun& run = core_.out_runs[at];
  run.state = OutRun::State::kPending;
  run.target = target;
  run.level = level;
  run.service = submission.service;
  run.flags = flags;
  run.channel = index;
  run.link_index = link_index;
  run.node = link.node;
  run.most = most;
  run.most_bytes = most_bytes;
  run.order = core_.next_order + 1;
  core_.next_order += wire::kMaxRunMessages;
  run.first_sequence = submission.sequence;
  run.epoch = epoch;
  channel.runs.push_back(core_.out_runs, at);
  link.runs[submission.service].push_back(core_.out_runs, at);
  link.waiting_services |= std::uint64_t{1} << submission.service;
  core_.links_wait = true;
  return at;
}

bool Outbound::take_run(ChannelIndex index, const ipc::Submission& submission) {
  Channel& channel = core_.channels[index];
  if (channel.removing || core_.draining || !fits_run(submission) ||
      submission.service >= core_.services.size())
    return false;
  const std::uint32_t link_index = run_link(submission);
  if (link_index == kNone) return false;
  if (channel.run_pause != 0) {
    --channel.run_pause;
    return false;
  }
  // What ends with its arrival cannot be behind what may come back.
  const bool none = submission.level == static_cast<std::uint8_t>(Level::kNone);
  if (!channel.runs.empty() && (core_.out_runs[channel.runs.front()].level == Level::kNone) != none)
    return false;
  if (!channel.outstanding.empty() && (submission.flags & ipc::kSubmitOrderNone) == 0 &&
      !RW_MUTANT(150)) {
    // Behind an elder of its key that goes by itself.
    const bool to_node = submission.target == static_cast<std::uint8_t>(ipc::TargetKind::kNode);
    if (core_.chain_tail.find(chain_key(index, submission.hash, submission.service,
                                        to_node ? submission.node : ipc::kNoNode)) != kNone)
      return false;
  }
  if (!has_share(channel, false)) return false;
  const std::uint32_t at = open_run(index, submission, link_index);
  if (at == kNone) return false;
  OutRun& run = core_.out_runs[at];
  const std::uint32_t which = run.count++;
  const auto payload_bytes = static_cast<std::uint16_t>(submission.payload_bytes);
  wire::RunEntry entry{submission.hash,
                       static_cast<std::uint32_t>(submission.sequence - run.first_sequence),
                       payload_bytes, submission.key_bytes, nullptr};
  std::byte* const place = run.bytes.data() + run.bytes_used;
  wire::put_run_entry(place, entry);
  std::memcpy(place + wire::kRunEntryHeaderBytes, submission.inline_bytes, entry.used_bytes());
  run.bytes_used += entry.whole_bytes();
  run.open |= std::uint32_t{1} << which;
  core_.outs.reserve();  // has_share() saw that there is one
  run.sequence_offset[which] = entry.sequence_offset;
  run.deadline_ns[which] = submission.deadline_ns;
  if (submission.deadline_ns != 0) {
    run.due_ns = std::min(run.due_ns, submission.deadline_ns);
    runs_due_ns_ = std::min(runs_due_ns_, submission.deadline_ns);
  }
  channel.next_sequence = submission.sequence + 1;
  ++channel.submitted;
  ++channel.in_runs;
  ++core_.outs_of[channel.domain];
  ++core_.counters.taken;
  ++core_.counters.in_flight_now;
  last_run_ = at;
  return true;
}

// ---- sending ------------------------------------------------------------------------------------

/// The number of the channel's newest run before this one on the same link that is still open, 0:
/// none. What is not open any more has come.
std::uint32_t Outbound::run_before(const OutRun& run) const {
  for (std::uint32_t at = run.channel_link.previous; at != kNone;
       at = core_.out_runs[at].channel_link.previous) {
    const OutRun& other = core_.out_runs[at];
    if (other.link_index == run.link_index && other.state == OutRun::State::kSent)
      return RW_MUTANT(151) ? 0 : static_cast<std::uint32_t>(other.number);
  }
  return 0;
}

bool Outbound::send_run(std::uint32_t link_index, std::uint32_t service) {
  Link& link = core_.links[link_index];
  const std::uint32_t at = link.runs[service].front();
  OutRun& run = core_.out_runs[at];
  const Channel& channel = core_.channels[run.channel];
  const wire::RunHeader header{{channel.attachment, channel.number, run.first_sequence},
                               run.epoch,
                               run_before(run),
                               channel.run_generation,
                               run.count,
                               run.flags,
                               run.level,
                               core_.services[run.service]};
  const transport::SendVerdict verdict =
      link.session->send_run(header, std::span(run.bytes).first(run.bytes_used), at, run.number);
  if (verdict != transport::SendVerdict::kTaken) return false;
  link.runs[service].remove(core_.out_runs, at);
  run.state = OutRun::State::kSent;
  core_.worked = true;
  return true;
}

// ---- taking apart -------------------------------------------------------------------------------

void Outbound::enlist(ChannelIndex index) {
  enlist_runs(index);
  core_.short_way->enlist(index);
}

void Outbound::enlist_runs(ChannelIndex index) {
  Channel& channel = core_.channels[index];
  if (channel.runs.empty()) return;
  channel.run_pause = kRunPause;
  while (!channel.runs.empty()) take_apart(channel.runs.front());
}

void Outbound::enlist_all() {
  for (ChannelIndex index = 0; index < core_.channels.size(); ++index) {
    const Channel& channel = core_.channels[index];
    if (channel.ipc != nullptr && (!channel.runs.empty() || !channel.shorts.empty())) enlist(index);
  }
}

void Outbound::take_apart(std::uint32_t at) {
  OutRun& run = core_.out_runs[at];
  Channel& channel = core_.channels[run.channel];
  Link& link = core_.links[run.link_index];
  channel.runs.remove(core_.out_runs, at);
  const bool sent = run.state == OutRun::State::kSent;
  if (!sent) link.runs[run.service].remove(core_.out_runs, at);
  std::uint32_t offset = 0;
  for (std::uint32_t which = 0; which < run.count; ++which) {
    const wire::RunEntry entry = wire::run_entry_at(run.bytes.data() + offset);
    offset += entry.whole_bytes();
    if ((run.open >> which & 1) == 0) continue;
    const std::uint32_t out = core_.outs.take_reserved();
    run.outs[which] = out;
    make_record(run, which, entry);
    OutMessage& message = core_.outs[out];
    if (sent) {
      message.state = OutState::kSending;
      message.flight = run_flight(at, which);
    } else {
      message.state = OutState::kQueued;
      message.queued_link = run.link_index;
      link.queue[run.service].push_back(core_.outs, out);
    }
    if (!RW_MUTANT(152)) join_chain(out);
    message.header.predecessor = predecessor_of(message);
    message.named_predecessor = message.header.predecessor;
  }
  run.apart = true;
  if (!sent) core_.out_runs.give_back(at);
}

/// What this message would have had from the beginning, had it gone by itself.
void Outbound::make_record(const OutRun& run, std::uint32_t which, const wire::RunEntry& entry) {
  Channel& channel = core_.channels[run.channel];
  const std::uint32_t out = run.outs[which];
  OutMessage& message = core_.outs[out];
  message.channel = run.channel;
  message.target = run.target;
  message.no_wait = (run.flags & wire::kNoWait) != 0;
  message.counted = true;
  message.service = run.service;
  message.attempt = 1;
  message.node = run.node;
  message.fixed_node = run.node;
  message.order = run.order + which;
  message.slot = slot_of(entry.hash);
  message.deadline_ns = run.deadline_ns[which];
  std::memcpy(message.bytes.data(), entry.bytes, entry.used_bytes());
  wire::MessageHeader& header = message.header;
  header.id = {channel.attachment, channel.number, run.first_sequence + entry.sequence_offset};
  header.hash = entry.hash;
  header.epoch = run.epoch;
  header.payload_bytes = entry.payload_bytes;
  header.flags = run.flags;
  header.level = run.level;
  header.key = std::span<const std::byte>(message.bytes.data(), entry.key_bytes);
  header.service = core_.services[run.service];
  message.payload = message.bytes.data() + entry.key_bytes;
  --channel.in_runs;
  channel.outstanding.push_back(core_.outs, out);
  core_.out_by_sequence.put(core_.sequence_key(run.channel, header.id.sequence), out);
  if (message.deadline_ns != 0) add_deadline(out);
}

/// A deadline in some run has come: those that have one go by themselves from here on.
void Outbound::runs_on_time() {
  if (runs_due_ns_ > core_.now) return;
  runs_due_ns_ = kNeverNs;
  for (std::uint32_t at = 0; at < core_.out_runs.capacity(); ++at) {
    const OutRun& run = core_.out_runs[at];
    if (run.state == OutRun::State::kFree || run.apart) continue;
    if (run.due_ns <= core_.now && !RW_MUTANT(153)) enlist(run.channel);
  }
  for (std::uint32_t at = 0; at < core_.out_runs.capacity(); ++at) {
    const OutRun& run = core_.out_runs[at];
    if (run.state != OutRun::State::kFree && !run.apart)
      runs_due_ns_ = std::min(runs_due_ns_, run.due_ns);
  }
}

// ---- outcomes -----------------------------------------------------------------------------------

void Outbound::on_run_result(const transport::Event& event) {
  const std::uint32_t at = event.cookie;
  if (at >= core_.out_runs.capacity()) return;
  OutRun& run = core_.out_runs[at];
  const std::uint32_t mask = event.mask & run.open;
  const std::uint32_t failed = event.failed & mask;
  if (failed != 0 && !run.apart) {
    if (mask != failed) tell_done(run, mask & ~failed);
    run.open &= ~(mask & ~failed);
    enlist(run.channel);
  } else if (!run.apart) {
    tell_done(run, mask);
  }
  bool back = false;
  for (std::uint32_t left = run.apart ? mask & run.open : 0; left != 0; left &= left - 1) {
    const auto which = static_cast<std::size_t>(std::countr_zero(left));
    const bool bad = (failed >> which & 1) != 0;
    const Ending ending = !bad                        ? Ending::kDone
                          : event.failures != nullptr ? event.failures->ending[which]
                                                      : event.ending;
    const Reason reason = !bad                        ? Reason::kNone
                          : event.failures != nullptr ? event.failures->reason[which]
                                                      : event.reason;
    back |= bad && ending == Ending::kFailed;
    const std::uint32_t out = std::exchange(run.outs[which], kNone);
    if (out == kNone) {
      ++core_.counters.late_outcomes;
      continue;
    }
    core_.outs[out].flight = kNone;
    on_ending(out, ending, reason);
  }
  if (back && event.failures != nullptr) raise_generation(core_.channels[run.channel]);
  run.open &= ~mask;
  if (run.open != 0) return;
  if (!run.apart) core_.channels[run.channel].runs.remove(core_.out_runs, at);
  run.state = OutRun::State::kFree;
  core_.out_runs.give_back(at);
}

/// By the clock, too, so that the runs of a channel whose engine was started anew are newer.
void Outbound::raise_generation(Channel& channel) const {
  const auto clock = static_cast<std::uint32_t>(core_.now / kMillisecondNs);
  ++channel.run_generation;
  if (static_cast<std::int32_t>(clock - channel.run_generation) > 0) channel.run_generation = clock;
}

/// Those of a run that is whole are done: told without ever having had a record.
void Outbound::tell_done(const OutRun& run, std::uint32_t mask) {
  Channel& channel = core_.channels[run.channel];
  const auto count = static_cast<std::uint32_t>(std::popcount(mask));
  channel.in_runs -= count;
  core_.counters.done += count;
  core_.counters.in_flight_now -= count;
  core_.channels_part->touch(run.channel);
  std::uint32_t told = 0;
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const auto which = static_cast<std::size_t>(std::countr_zero(left));
    const std::uint64_t sequence = run.first_sequence + run.sequence_offset[which];
    const ipc::OutcomeRecord record{.sequence = sequence,
                                    .node = run.node,
                                    .ending = static_cast<std::uint8_t>(Ending::kDone),
                                    .reason = static_cast<std::uint8_t>(Reason::kNone),
                                    .level = static_cast<std::uint8_t>(run.level),
                                    .attempt = 1};
    if (tell_now(run.channel, record)) {
      ++told;
      continue;
    }
    tell_later(run, sequence);
  }
  core_.outs_of[channel.domain] -= told;
  core_.outs.give_up_reserved(told);
}

/// Its program's queue is full: the outcome waits as a record.
void Outbound::tell_later(const OutRun& run, std::uint64_t sequence) {
  Channel& channel = core_.channels[run.channel];
  const std::uint32_t out = core_.outs.take_reserved();
  OutMessage& message = core_.outs[out];
  message.channel = run.channel;
  message.state = OutState::kEnded;
  message.ending = Ending::kDone;
  message.node = run.node;
  message.attempt = 1;
  message.header.id.sequence = sequence;
  message.header.level = run.level;
  channel.outstanding.push_back(core_.outs, out);
  channel.ended.push_back(core_.outs, out);
}

}  // namespace ringwire::worker
