#include "tests/sim/program.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ringwire::sim {
namespace {

/// As the library: the oldest without an outcome and the newest are never further apart.
constexpr std::uint64_t kMaxSpan = 8'192;
constexpr std::size_t kLongKeyBytes = 300;
/// As engine/worker/duplicate_windows.
constexpr std::uint64_t kDuplicateWindow = 16'384;

}  // namespace

Program::Program(Stage& stage, Node& node, Role role)
    : stage_(stage),
      node_(node),
      role_(role),
      random_(stage.random.next()),
      id_(stage.next_program++),
      attachment_{random_.next(), random_.next() | 1},
      sender_(stage.oracle.add_sender()) {
  prefetch_ = static_cast<std::uint32_t>(random_.between(1, 40));
  if (random_.chance(0.3)) next_sequence_ = random_.between(1, 1u << 20);
}

// ---- attaching ----------------------------------------------------------------------------------

void Program::attach() {
  if (dead_ || channel_ || !node_.alive) return;
  const std::uint32_t workers = node_.server ? stage_.options.workers : 1;
  const std::uint64_t oldest = outgoing_.empty() ? next_sequence_ : outgoing_.begin()->first;
  const std::uint64_t home = random_.below(workers);
  channel_ = std::make_unique<ProgramChannel>(oldest, workers, static_cast<std::uint32_t>(home));
  index_ = node_.attach(*this, *channel_, attachment_, oldest);
  std::erase_if(files_, [this](const auto& file) {
    return std::none_of(outgoing_.begin(), outgoing_.end(), [&](const auto& entry) {
      return entry.second.submission.extent_file == file.first;
    });
  });
  for (auto& [number, file] : files_) {
    file.known = false;
    node_.command(channel_->home_worker(),
                  worker::AddFile{index_, number, file.data.get(), file.bytes, number});
  }
  if (role_ == Role::kServer && !away_) come_back();
  to_submit_.clear();
  for (auto& [sequence, entry] : outgoing_) to_submit_.push_back(sequence);
}

void Program::on_engine_gone() {
  if (!channel_) return;
  channel_.reset();
  held_.clear();
  releases_.clear();
  to_cancel_.clear();
  stage_.oracle.on_program_gone(place(0, 0));
  for (auto& [sequence, entry] : outgoing_) entry.submission.flags |= ipc::kSubmitReplayed;
}

void Program::die() {
  if (dead_) return;
  dead_ = true;
  stage_.trace("program %u of node %u dies", id_, node_.index);
  std::uint64_t turn = 0;
  for (std::uint32_t worker = 0; worker < kMaxWorkers; ++worker)
    turn = std::max(turn, node_.turns_of(worker));
  stage_.oracle.on_program_gone(place(0, turn));
  stage_.oracle.abandon(sender_);
  held_.clear();
  outgoing_.clear();
  to_submit_.clear();
  if (!channel_) return;
  // Its memory stays until every worker has let go of it: the files go with the channel.
  node_.detach(index_, std::move(channel_));
}

void Program::leave() {
  away_ = true;
  if (!channel_) return;
  for (std::uint16_t service = 0; service < stage_.options.services; ++service)
    node_.unserve(index_, service);
}

void Program::come_back() {
  away_ = false;
  if (!channel_ || stage_.options.barren_node == static_cast<std::int32_t>(node_.index)) return;
  for (std::uint16_t service = 0; service < stage_.options.services; ++service)
    node_.serve(index_, service, prefetch_);
}

Place Program::place(std::uint32_t worker, std::uint64_t turn) const {
  return {node_.index, node_.life, worker, id_, turn};
}

// ---- files --------------------------------------------------------------------------------------

std::uint32_t Program::make_file(std::uint64_t bytes, std::uint64_t front_bytes, std::byte*& data) {
  const std::uint32_t number = next_file_++;
  File& file = files_[number];
  file.bytes = front_bytes + bytes;
  file.data.reset(new std::byte[file.bytes]);
  data = file.data.get() + front_bytes;
  if (channel_)
    node_.command(channel_->home_worker(),
                  worker::AddFile{index_, number, file.data.get(), file.bytes, number});
  return number;
}

void Program::on_file_ready(std::uint64_t request) {
  const auto found = files_.find(static_cast<std::uint32_t>(request));
  if (found != files_.end()) found->second.known = true;
}

void Program::on_file_gone(std::uint64_t request, bool busy) {
  const auto number = static_cast<std::uint32_t>(request);
  if (!busy) {
    files_.erase(number);
  } else if (channel_) {
    node_.command(channel_->home_worker(), worker::DropFile{index_, number, number});
  }
}

void Program::forget(std::uint64_t sequence) {
  const auto found = outgoing_.find(sequence);
  if (found == outgoing_.end()) return;
  const std::uint32_t file = found->second.submission.extent_file;
  outgoing_.erase(found);
  if (file != 0 && channel_)
    node_.command(channel_->home_worker(), worker::DropFile{index_, file, file});
}

// ---- receiving ----------------------------------------------------------------------------------

bool Program::receive() {
  bool any = false;
  ipc::Delivery delivery;
  std::uint32_t worker = 0;
  while (channel_ && channel_->receive(delivery, worker)) {
    any = true;
    switch (static_cast<ipc::DeliveryKind>(delivery.kind)) {
      case ipc::DeliveryKind::kMessage:
        take_message(delivery, worker);
        break;
      case ipc::DeliveryKind::kReply:
        take_reply(delivery, worker);
        break;
      default:
        take_outcomes(delivery);
        break;
    }
  }
  for (std::uint32_t at = 0; at < kMaxWorkers; ++at) seen_turns_[at] = node_.turns_of(at);
  return any;
}

void Program::take_message(const ipc::Delivery& delivery, std::uint32_t worker) {
  const std::byte* payload = delivery.inline_bytes + delivery.key_bytes;
  const std::byte* key = delivery.inline_bytes;
  if (delivery.extent_file != 0) {
    const std::byte* data = node_.file_data(delivery.extent_file);
    if (data == nullptr)
      return stage_.oracle.violation("a delivery names a file that does not exist");
    payload = data + delivery.payload_offset;
    key = payload - delivery.key_bytes;
  }
  Message* message = stage_.oracle.on_delivery(stage_.now, place(worker, seen_turns_[worker]),
                                               delivery, key, payload);
  if (message == nullptr) return;
  stage_.note(message->stamp.number * 31 + node_.index);
  stage_.trace("node %u worker %u program %u gets %u/%llu key %u service %u attempt %u%s",
               node_.index, worker, id_, message->stamp.sender,
               static_cast<unsigned long long>(message->stamp.number), message->stamp.key,
               message->service, delivery.attempt,
               (delivery.flags & ipc::kDeliverRedelivered) != 0 ? " redelivered" : "");
  const auto of_worker = std::count_if(held_.begin(), held_.end(), [&](const Held& held) {
    return held.worker == worker && held.delivery.service == delivery.service;
  });
  if (of_worker >= static_cast<std::ptrdiff_t>(prefetch_))
    stage_.oracle.violation("more messages are with a program than its prefetch");
  Held held;
  held.delivery = delivery;
  held.worker = worker;
  held.sender = message->stamp.sender;
  held.number = message->stamp.number;
  held.release_at = stage_.now + static_cast<DurationNs>(random_.below(
                                     static_cast<std::uint64_t>(stage_.options.work_ns) + 1));
  if (stage_.options.stuck_service && message->service == 1 && stage_.faults_on)
    held.release_at = stage_.now + stage_.options.safety_ns;
  held_.push_back(held);
}

void Program::take_reply(const ipc::Delivery& delivery, std::uint32_t worker) {
  const auto found = outgoing_.find(delivery.ticket);
  if (found == outgoing_.end() || found->second.message < 0) {
    stage_.oracle.violation("a reply came for what was not sent, or has ended");
  } else {
    const std::byte* payload = delivery.inline_bytes + delivery.key_bytes;
    if (delivery.extent_file != 0)
      payload = node_.file_data(delivery.extent_file) + delivery.payload_offset;
    Message& message = stage_.oracle.at(sender_, static_cast<std::uint64_t>(found->second.message));
    stage_.note(delivery.ticket);
    stage_.oracle.on_reply(message, payload, delivery.payload_bytes);
    stage_.trace("program %u: reply to %u/%llu", id_, sender_,
                 static_cast<unsigned long long>(message.stamp.number));
    forget(delivery.ticket);
  }
  release(worker, {delivery.token, 0, 0});
}

void Program::take_outcomes(const ipc::Delivery& delivery) {
  const bool targets = delivery.kind == static_cast<std::uint8_t>(ipc::DeliveryKind::kTargets);
  for (std::uint8_t at = 0; at < delivery.count; ++at) {
    ipc::OutcomeRecord record;
    std::memcpy(&record, delivery.inline_bytes + at * sizeof record, sizeof record);
    const auto found = outgoing_.find(record.sequence);
    if (found == outgoing_.end()) {
      stage_.oracle.violation("an outcome of what was not sent, or has ended: sequence " +
                              std::to_string(record.sequence));
      continue;
    }
    if (found->second.message < 0) {
      if (!targets) forget(record.sequence);
      continue;
    }
    Message& message = stage_.oracle.at(sender_, static_cast<std::uint64_t>(found->second.message));
    stage_.trace("program %u: %u/%llu %s ended %u reason %u attempts %u", id_, sender_,
                 static_cast<unsigned long long>(message.stamp.number),
                 targets ? "target" : "message", record.ending, record.reason, record.attempt);
    if (targets) {
      stage_.oracle.on_target(message, record);
    } else {
      stage_.note(record.sequence * 4 + record.ending);
      stage_.oracle.on_outcome(stage_.now, message, record);
      forget(record.sequence);
    }
  }
}

void Program::release(std::uint32_t worker, const ipc::Release& item) {
  releases_.emplace_back(worker, item);
  flush_releases();
}

void Program::flush_releases() {
  while (channel_ && !releases_.empty() &&
         channel_->release(releases_.front().first, releases_.front().second))
    releases_.pop_front();
}

// ---- working ------------------------------------------------------------------------------------

bool Program::finish_held() {
  bool any = false;
  for (std::size_t at = 0; at < held_.size() && !dead_;) {
    if (held_[at].release_at > stage_.now || !releases_.empty() || !finish_one(held_[at])) {
      ++at;
      continue;
    }
    any = true;
    if (at < held_.size()) held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return any;
}

bool Program::finish_one(Held& held) {
  const WorldOptions& options = stage_.options;
  Message& message = stage_.oracle.at(held.sender, held.number);
  auto verdict = ipc::Verdict::kDone;
  if (message.poison || (stage_.faults_on && random_.chance(options.retry_chance)))
    verdict = ipc::Verdict::kRetry;
  else if (random_.chance(options.refuse_chance))
    verdict = ipc::Verdict::kRefuse;
  std::uint32_t flags = 0;
  if (verdict == ipc::Verdict::kDone && (held.delivery.flags & ipc::kDeliverCall) != 0) {
    if (options.nested_calls && message.service == 0) {
      if (held.waits_for == 0) call_elsewhere(held);
      if (outgoing_.contains(held.waits_for)) return false;
    }
    if (!answer(held)) return false;
    flags = ipc::kReleaseReplied;
  }
  stage_.trace("program %u hands back %u/%llu verdict %u", id_, held.sender,
               static_cast<unsigned long long>(held.number), static_cast<unsigned>(verdict));
  stage_.oracle.on_release(place(held.worker, node_.turns_of(held.worker)), message, verdict);
  release(held.worker, {held.delivery.token, static_cast<std::uint32_t>(verdict), flags});
  return true;
}

bool Program::answer(Held& held) {
  Message& message = stage_.oracle.at(held.sender, held.number);
  if (to_submit_.size() > 8) return false;
  ipc::Submission reply{};
  reply.sequence = next_sequence_++;
  reply.target = static_cast<std::uint8_t>(ipc::TargetKind::kOrigin);
  reply.flags = ipc::kSubmitReply;
  reply.level = static_cast<std::uint8_t>(Level::kAccepted);
  std::memcpy(reply.inline_bytes, &held.delivery.origin, sizeof held.delivery.origin);
  Stamp stamp = message.stamp;
  stamp.fill = ~stamp.fill;
  stamp.bytes = sizeof stamp;
  if (random_.chance(stage_.options.large_chance / 2)) {
    stamp.bytes = random_.between(sizeof stamp, stage_.options.large_bytes + sizeof stamp);
    std::byte* data = nullptr;
    reply.extent_file = make_file(stamp.bytes, 0, data);
    fill_payload(stamp, {data, stamp.bytes});
  } else {
    std::memcpy(reply.inline_bytes + sizeof held.delivery.origin, &stamp, sizeof stamp);
  }
  reply.payload_bytes = stamp.bytes;
  message.replied = true;
  queue(reply, -1);
  return true;
}

void Program::call_elsewhere(Held& held) {
  held.waits_for = next_sequence_;
  compose_one(1, true);
}

// ---- sending ------------------------------------------------------------------------------------

void Program::queue(const ipc::Submission& submission, std::int64_t message) {
  outgoing_[submission.sequence] = {submission, message};
  to_submit_.push_back(submission.sequence);
}

bool Program::pump() {
  bool any = false;
  while (channel_ && !to_cancel_.empty()) {
    ipc::Submission cancel{};
    cancel.sequence = to_cancel_.front();
    cancel.flags = ipc::kSubmitCancel;
    if (!channel_->submit(cancel)) break;
    to_cancel_.pop_front();
  }
  while (channel_ && !to_submit_.empty()) {
    const auto found = outgoing_.find(to_submit_.front());
    if (found != outgoing_.end()) {
      const ipc::Submission& submission = found->second.submission;
      if (submission.extent_file != 0 && !files_.at(submission.extent_file).known) break;
      if (!channel_->submit(submission)) break;
    }
    to_submit_.pop_front();
    any = true;
  }
  return any;
}

bool Program::compose() {
  const WorldOptions& options = stage_.options;
  bool any = false;
  while (role_ == Role::kClient && stage_.oracle.of(sender_).size() < options.messages &&
         outgoing_.size() < options.window && to_submit_.size() < 4 && stage_.now >= next_send_ &&
         open_span() < kMaxSpan && channel_) {
    any = true;
    std::uint32_t service = 0;
    if (options.service_per_client)
      service = sender_ % options.services;
    else if (!options.nested_calls)
      service = static_cast<std::uint32_t>(random_.below(options.services));
    compose_one(static_cast<std::uint16_t>(service),
                options.nested_calls || random_.chance(options.call_chance));
    if (options.pause_ns != 0)
      next_send_ = stage_.now + static_cast<DurationNs>(
                                    random_.below(static_cast<std::uint64_t>(options.pause_ns)));
    if (random_.chance(options.cancel_chance) && !outgoing_.empty()) {
      auto victim = outgoing_.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(random_.below(outgoing_.size())));
      stage_.oracle.at(sender_, static_cast<std::uint64_t>(victim->second.message)).cancelled =
          true;
      to_cancel_.push_back(victim->first);
    }
  }
  return any;
}

void Program::choose_target(Message& message, ipc::Submission& submission) {
  const WorldOptions& options = stage_.options;
  const ring::View& view = *stage_.view;
  if (message.call) return;
  if (random_.chance(options.broadcast_chance)) {
    message.target = ipc::TargetKind::kBroadcast;
    message.targets = options.servers;
  } else if (random_.chance(options.replicas_chance)) {
    message.target = ipc::TargetKind::kReplicas;
    message.targets = view.replicas_count;
    message.require = static_cast<ipc::Require>(random_.below(3));
  } else if (random_.chance(options.node_chance)) {
    message.target = ipc::TargetKind::kNode;
    message.target_node = static_cast<std::uint32_t>(random_.below(options.servers));
    submission.node = message.target_node;
  }
  if (random_.chance(options.accepted_chance)) message.level = Level::kAccepted;
  if (random_.chance(options.none_chance)) message.level = Level::kNone;
}

void Program::compose_one(std::uint16_t service, bool call) {
  const WorldOptions& options = stage_.options;
  const std::uint64_t room = outgoing_.empty() ? options.sequence_jump_most
                                               : kMaxSpan - 1 - std::min(kMaxSpan - 1, open_span());
  const std::uint64_t of_lap = next_sequence_ % kDuplicateWindow;
  if (random_.chance(options.sequence_jump_chance))
    next_sequence_ += random_.between(0, room);
  else if (options.sequence_lap != 0 && of_lap >= options.sequence_lap)
    next_sequence_ += std::min(room, kDuplicateWindow - of_lap);
  Message message;
  ipc::Submission submission{};
  message.sequence = submission.sequence = next_sequence_++;
  message.service = submission.service = service;
  message.call = call;
  message.stamp = {sender_, static_cast<std::uint32_t>(random_.below(options.keys)),
                   stage_.oracle.of(sender_).size(), sizeof(Stamp), random_.next()};
  choose_target(message, submission);
  message.unordered = random_.chance(options.unordered_chance);
  message.poison = random_.chance(options.poison_chance);
  submission.target = static_cast<std::uint8_t>(message.target);
  submission.require = static_cast<std::uint8_t>(message.require);
  submission.level = static_cast<std::uint8_t>(message.level);
  submission.hash = message.stamp.key;
  if (call) submission.flags |= ipc::kSubmitCall;
  if (message.unordered) submission.flags |= ipc::kSubmitOrderNone;
  if (random_.chance(options.deadline_chance)) {
    const auto after = static_cast<DurationNs>(random_.between(1, 60)) * kMillisecondNs;
    submission.deadline_ns = node_.local_now() + after;
    message.deadline_at = node_.clock.world(submission.deadline_ns);
  }
  Stamp& stamp = message.stamp;
  if (random_.chance(options.large_chance))
    stamp.bytes = random_.between(sizeof(Stamp), options.large_bytes + sizeof(Stamp));
  else
    stamp.bytes = random_.between(sizeof(Stamp), options.small_bytes);
  const bool long_key = random_.chance(options.long_key_chance);
  const std::size_t key_bytes = long_key ? kLongKeyBytes : sizeof stamp.key;
  submission.key_bytes = static_cast<std::uint16_t>(key_bytes);
  submission.payload_bytes = stamp.bytes;
  if (key_bytes + stamp.bytes <= ipc::kInlineBytes) {
    std::memcpy(submission.inline_bytes, &stamp.key, sizeof stamp.key);
    fill_payload(stamp, {submission.inline_bytes + key_bytes, stamp.bytes});
  } else {
    std::byte* data = nullptr;
    submission.extent_file = make_file(stamp.bytes, key_bytes, data);
    submission.payload_offset = key_bytes;
    submission.flags |= ipc::kSubmitKeyInExtent;
    std::memset(data - key_bytes, 0, key_bytes);
    std::memcpy(data - key_bytes, &stamp.key, sizeof stamp.key);
    fill_payload(stamp, {data, stamp.bytes});
  }
  stage_.oracle.add(message);
  stage_.trace(
      "program %u of node %u sends %u/%llu key %u service %u: %llu bytes, target %u, "
      "level %u%s",
      id_, node_.index, sender_, static_cast<unsigned long long>(stamp.number), stamp.key, service,
      static_cast<unsigned long long>(stamp.bytes), static_cast<unsigned>(submission.target),
      submission.level, call ? ", call" : "");
  queue(submission, static_cast<std::int64_t>(stamp.number));
}

// ---- time ---------------------------------------------------------------------------------------

bool Program::step() {
  if (dead_ || stage_.now < stopped_until_) return false;
  if (!channel_) {
    if (!node_.alive) return false;
    attach();
  }
  flush_releases();
  bool did = receive();
  did |= finish_held();
  did |= compose();
  did |= pump();
  if (channel_) node_.look_at_bells(index_, *channel_);
  return did;
}

TimeNs Program::next_ns() const {
  if (dead_) return kNeverNs;
  // What waits for room, an answer or the engine is looked at again after the engine's next turn.
  const TimeNs now = stage_.now;
  if (stopped_until_ > now) return stopped_until_;
  if (late_until_ > now) return late_until_;
  TimeNs next = kNeverNs;
  for (const Held& held : held_)
    if (held.release_at > now) next = std::min(next, held.release_at);
  if (role_ == Role::kClient && next_send_ > now && !finished_sending())
    next = std::min(next, next_send_);
  return next;
}

bool Program::finished_sending() const {
  return dead_ || role_ == Role::kServer ||
         stage_.oracle.of(sender_).size() >= stage_.options.messages;
}

}  // namespace ringwire::sim
