// Receiving, releasing and serving of a channel (program_channel.h).
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ipc/last_error.h"
#include "ipc/program_channel.h"

namespace ringwire::ipc {

rw_message* ProgramChannel::make_message() {
  rw_message* message = free_messages_;
  if (message != nullptr)
    free_messages_ = message->next;
  else
    message = &messages_.emplace_back();
  message->map = nullptr;
  message->live = false;
  message->replied = false;
  return message;
}

void ProgramChannel::free_message(rw_message* message) {
  message->live = false;
  message->next = free_messages_;
  free_messages_ = message;
}

void ProgramChannel::drop_extent(rw_message& message) {
  if (message.map == nullptr) return;
  message.side->maps.let_go(*message.map);
  message.map = nullptr;
  if (message.side != side_.get() && message.side->maps.idle())
    std::erase_if(old_sides_, [&](const auto& old) { return old.get() == message.side; });
}

// Say what became of a delivery. Waits for room: the worker takes releases on each of its turns.
void ProgramChannel::return_token(EngineSide& side, std::uint32_t worker, std::uint64_t token,
                                  Verdict verdict, std::uint32_t flags) {
  auto& releases = side.queues->releases(worker);
  Release* place = nullptr;
  while ((place = releases.claim()) == nullptr) {
    if (side.queues->broken() || side.queues->closed()) side.link->mark_dead();
    if (side.link->dead()) return;
    side.queues->flush();
    // Only the room matters: entries that wait are taken by whoever called us.
    Sleeper& sleeper = side.queues->sleeper();
    sleeper.arm(kAsleepForRoom);
    if (!releases.room_now() && !releases.broken()) {
      const auto seen =
          wait_on(side.queues->event(), POLLIN, side.link->socket(), POLLRDHUP, kNeverNs);
      if (seen[0] != 0) side.queues->clear_event();
      if (seen[1] != 0) side.link->mark_dead();
    }
    sleeper.disarm();
  }
  *place = {.token = token, .verdict = static_cast<std::uint32_t>(verdict), .flags = flags};
  side.queues->publish_releases(worker);
}

int ProgramChannel::take_messages(rw_message** messages, int max) {
  int count = 0;
  while (count < max && inbox_first_ != nullptr) {
    rw_message* message = inbox_first_;
    inbox_first_ = message->next;
    if (inbox_first_ == nullptr) inbox_last_ = nullptr;
    --inbox_count_;
    message->live = true;
    messages[count++] = message;
  }
  return count;
}

int ProgramChannel::receive(std::int64_t timeout_ns, rw_message** messages, int max) {
  TimeNs deadline = timeout_ns < 0 ? kNeverNs : 0;
  // Also when messages are here already: what was done before need not wait until these are.
  if (side_->queues != nullptr) side_->queues->flush();
  messages_unseen_ = false;
  if (const int count = take_messages(messages, max); count > 0) return count;
  if (timeout_ns == 0 && idle()) return fail_plainly(RW_EAGAIN, "no message waits");
  for (;;) {
    if (timeout_ns > 0 && deadline == 0) {
      const TimeNs now = monotonic_ns();
      deadline = timeout_ns > kNeverNs - now ? kNeverNs : now + timeout_ns;
    }
    const int error = attached(deadline);
    if (error != RW_OK) {
      if (const int count = take_messages(messages, max); count > 0) return count;
      [[maybe_unused]] const bool retries_later = arm_event();
      return error;
    }
    pump_replay();
    const std::size_t drained = drain(*side_);
    if (const int count = take_messages(messages, max); count > 0) return count;
    if (drained > 0) continue;
    look_for_death();
    if (timeout_ns == 0) {
      if (arm_event()) continue;
      if (std::exchange(outcomes_unseen_, false)) show_again();
      return fail_plainly(RW_EAGAIN, "no message waits");
    }
    if (const int over = pause(deadline, Want::kEntries, 0); over != RW_OK)
      return fail(over, "no message within the time");
  }
}

int ProgramChannel::release(rw_message* message, std::uint32_t verdict) {
  if (!message->live) return fail(RW_ESTALE, "the message was released before");
  if (verdict > RW_REFUSE) return fail(RW_EINVAL, "no such verdict");
  // A dead engine wants nothing back.
  if (message->side == side_.get() && !side_->link->dead())
    return_token(*side_, message->worker, message->entry.token, static_cast<Verdict>(verdict),
                 message->replied ? std::uint32_t{kReleaseReplied} : 0);
  drop_extent(*message);
  free_message(message);
  return RW_OK;
}

int ProgramChannel::serve(const rw_serve_options& options) {
  if (options.order > RW_ORDER_NONE) return fail(RW_EINVAL, "no such order");
  if (options.share > 1) return fail(RW_EINVAL, "share is 0 or 1");
  const char* service = options.service == nullptr ? "" : options.service;
  if (std::strlen(service) > kMaxNameBytes)
    return fail(RW_EINVAL, "a service name has up to %zu bytes", kMaxNameBytes);
  if (const int error = attached(kNeverNs); error != RW_OK) return error;
  const Serve serve{.name = names_.intern(service),
                    .order = static_cast<std::uint16_t>(options.order),
                    .share = options.share != 0,
                    .prefetch = options.prefetch};
  const bool twice = std::any_of(serves_.begin(), serves_.end(),
                                 [&](const Serve& other) { return other.name == serve.name; });
  if (twice) return fail(RW_EBUSY, "this channel serves \"%s\" already", service);
  if (const int error = declare(*side_, serve, AttachType::kServe); error != RW_OK) return error;
  serves_.push_back(serve);
  return RW_OK;
}

int ProgramChannel::unserve(const char* service) {
  const NameIndex name = names_.intern(service == nullptr ? "" : service);
  const auto found = std::find_if(serves_.begin(), serves_.end(),
                                  [&](const Serve& serve) { return serve.name == name; });
  if (found == serves_.end()) return fail(RW_ESTALE, "this channel does not serve that");
  if (const int error = attached(kNeverNs); error != RW_OK) return error;
  if (const int error = declare(*side_, *found, AttachType::kUnserve); error != RW_OK) return error;
  serves_.erase(found);
  return RW_OK;
}

}  // namespace ringwire::ipc
