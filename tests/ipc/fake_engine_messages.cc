// What the fake engine does with submissions, releases and deliveries.
#include <cstring>
#include <utility>

#include "tests/ipc/fake_engine.h"

namespace ringwire::ipc {

bool FakeEngine::pump(Channel& channel) {
  EngineChannel& end = *channel.end;
  bool worked = false;
  Submission submission{};
  while (!options_.stalled && end.poll_submission(submission)) {
    worked = true;
    take(channel, submission);
  }
  end.publish_submissions();
  for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker) {
    Release release{};
    while (end.poll_release(worker, release)) {
      worked = true;
      released(release);
    }
    end.publish_releases(worker);
  }
  flush(channel);
  return worked;
}

void FakeEngine::take(Channel& channel, const Submission& submission) {
  SeenSubmission seen{
      .channel = channel.number, .submission = submission, .key = {}, .payload = {}};
  const std::size_t front =
      submission.target == static_cast<std::uint8_t>(TargetKind::kOrigin) ? sizeof(OriginToken) : 0;
  const auto* text = reinterpret_cast<const char*>(submission.inline_bytes) + front;
  if (submission.extent_file == 0) {
    seen.key.assign(text, submission.key_bytes);
    seen.payload.assign(text + submission.key_bytes, submission.payload_bytes);
  } else {
    const MemoryFile& file = channel.files.at(submission.extent_file);
    const auto* at = reinterpret_cast<const char*>(file.data()) + submission.payload_offset;
    seen.payload.assign(at, submission.payload_bytes);
    if ((submission.flags & kSubmitKeyInExtent) != 0)
      seen.key.assign(at - submission.key_bytes, submission.key_bytes);
    else
      seen.key.assign(text, submission.key_bytes);
  }
  {
    const std::lock_guard lock(mutex_);
    seen_.push_back(seen);
  }
  changed_.notify_all();
  if ((submission.flags & kSubmitCancel) != 0) {
    const auto erased = std::erase_if(held_, [&](const Held& held) {
      return held.channel == &channel && held.seen.submission.sequence == submission.sequence;
    });
    if (erased > 0) end_send(channel, submission.sequence, Ending::kFailed, Reason::kCancelled);
    return;
  }
  if (options_.hold)
    held_.push_back({&channel, std::move(seen)});
  else
    handle(channel, seen);
}

void FakeEngine::handle(Channel& channel, const SeenSubmission& seen) {
  const Submission& submission = seen.submission;
  if (submission.target == static_cast<std::uint8_t>(TargetKind::kOrigin)) {
    OriginToken token;
    std::memcpy(&token, submission.inline_bytes, sizeof token);
    Channel* to = find({token.attachment_high, token.attachment_low}, token.channel);
    if (to == nullptr)
      return end_send(channel, submission.sequence, Ending::kFailed, Reason::kOriginGone);
    const bool reply = (submission.flags & kSubmitReply) != 0;
    deliver(*to, reply ? DeliveryKind::kReply : DeliveryKind::kDirect, channel, seen,
            reply ? token.sequence : 0);
    return end_send(channel, submission.sequence, Ending::kDone, Reason::kNone);
  }
  if (submission.target == static_cast<std::uint8_t>(TargetKind::kBroadcast)) {
    Delivery targets{};
    targets.kind = static_cast<std::uint8_t>(DeliveryKind::kTargets);
    targets.count = 2;
    const OutcomeRecord records[2] = {
        record(submission.sequence, 0, Ending::kDone, Reason::kNone),
        record(submission.sequence, 1, Ending::kFailed, Reason::kDown)};
    std::memcpy(targets.inline_bytes, records, sizeof records);
    channel.pending.emplace_back(channel.end->home_worker(), targets);
    return end_send(channel, submission.sequence, Ending::kFailed, Reason::kRequirement);
  }
  for (const Server& server : servers_)
    if (server.service == submission.service)
      return deliver(*server.channel, DeliveryKind::kMessage, channel, seen, 0);
  if ((submission.flags & kSubmitCall) != 0)
    return deliver(channel, DeliveryKind::kReply, channel, seen, submission.sequence);
  end_send(channel, submission.sequence, Ending::kDone, Reason::kNone);
}

void FakeEngine::deliver(Channel& to, DeliveryKind kind, Channel& from, const SeenSubmission& seen,
                         std::uint64_t ticket) {
  Delivery entry{};
  entry.token = ++last_token_;
  entry.hash = seen.submission.hash;
  entry.payload_bytes = seen.payload.size();
  entry.ticket = ticket;
  entry.attempt = 1;
  entry.key_bytes = static_cast<std::uint16_t>(seen.key.size());
  entry.service = seen.submission.service;
  entry.kind = static_cast<std::uint8_t>(kind);
  const bool call = (seen.submission.flags & kSubmitCall) != 0;
  if (call && kind == DeliveryKind::kMessage) entry.flags |= kDeliverCall;
  entry.origin.attachment_high = from.attachment.high;
  entry.origin.attachment_low = from.attachment.low;
  entry.origin.sequence = seen.submission.sequence;
  entry.origin.channel = from.number;
  if (seen.key.size() + seen.payload.size() <= kInlineBytes) {
    std::memcpy(entry.inline_bytes, seen.key.data(), seen.key.size());
    std::memcpy(entry.inline_bytes + seen.key.size(), seen.payload.data(), seen.payload.size());
  } else {
    entry.extent_file = options_.shared_file ? 1 : ++last_file_;
    auto file = options_.shared_file && out_files_.contains(1)
                    ? Result<MemoryFile, MemoryError>(std::move(out_files_.at(1)))
                    : MemoryFile::create("in", seen.key.size() + seen.payload.size());
    std::memcpy(file.value().data(), seen.key.data(), seen.key.size());
    std::memcpy(file.value().data() + seen.key.size(), seen.payload.data(), seen.payload.size());
    entry.payload_offset = seen.key.size();
    out_files_[entry.extent_file] = std::move(file).value();
  }
  if (kind == DeliveryKind::kMessage)
    delivered_[entry.token] = {
        from.attachment, from.number, seen.submission.sequence, call, &to, seen};
  to.pending.emplace_back(static_cast<std::uint32_t>(entry.hash % options_.worker_count), entry);
  flush(to);
}

void FakeEngine::released(const Release& release) {
  {
    const std::lock_guard lock(mutex_);
    releases_.push_back(release);
  }
  changed_.notify_all();
  const auto found = delivered_.find(release.token);
  if (found == delivered_.end()) return;
  const Delivered was = found->second;
  delivered_.erase(found);
  Channel* from = find(was.attachment, was.channel);
  if (from == nullptr || (was.call && (release.flags & kReleaseReplied) != 0)) return;
  if (release.verdict == static_cast<std::uint32_t>(Verdict::kDone))
    end_send(*from, was.sequence, Ending::kDone, Reason::kNone);
  else
    end_send(*from, was.sequence, Ending::kFailed, Reason::kRefused);
}

void FakeEngine::end_send(Channel& channel, std::uint64_t sequence, Ending ending, Reason reason) {
  Delivery entry{};
  entry.kind = static_cast<std::uint8_t>(DeliveryKind::kOutcomes);
  entry.count = 1;
  const OutcomeRecord outcome = record(sequence, 1, ending, reason);
  std::memcpy(entry.inline_bytes, &outcome, sizeof outcome);
  channel.pending.emplace_back(channel.end->home_worker(), entry);
  flush(channel);
}

void FakeEngine::flush(Channel& channel) {
  while (!channel.pending.empty()) {
    const auto& [worker, entry] = channel.pending.front();
    Delivery* place = channel.end->claim_delivery(worker);
    if (place == nullptr) break;
    std::memcpy(place, &entry, sizeof entry);
    channel.pending.pop_front();
  }
  bool any = false;
  for (std::uint32_t worker = 0; worker < options_.worker_count; ++worker)
    any |= channel.end->publish_deliveries(worker);
  if (any) channel.end->wake_if_waiting();
}

FakeEngine::Channel* FakeEngine::find(Id128 attachment, std::uint32_t number) {
  for (auto& [fd, each] : attachments_) {
    if (each.id != attachment) continue;
    const auto found = each.channels.find(number);
    if (found != each.channels.end()) return found->second.get();
  }
  return nullptr;
}

}  // namespace ringwire::ipc
