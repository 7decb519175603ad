#include "ipc/program_channel.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ipc/last_error.h"

namespace ringwire::ipc {
namespace {

// Entries taken from one worker's queue before the next worker's turn.
constexpr std::size_t kDrainBurst = 64;
// Empty polls of a program that never sleeps between looks at the socket: about 0.1 ms of polling.
constexpr std::uint32_t kPollsPerLook = 1'024;
// How often an event loop tries to come back to an engine that is away.
constexpr long kRetryTimerNs = 50'000'000;
// A wait looks at the clock once in so many polls.
constexpr int kPollsPerClock = 16;

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

ProgramChannel::ProgramChannel(ProgramClient& client, std::uint32_t number,
                               std::uint64_t next_sequence)
    : client_(client), number_(number), book_(next_sequence), transmit_(client, number) {}

int ProgramChannel::open(ProgramClient& client, const rw_channel_options& options,
                         std::unique_ptr<ProgramChannel>& channel) {
  std::uint32_t number = 0;
  std::uint64_t next_sequence = 1;
  std::shared_ptr<AttachLink> link = client.link();
  if (const int error = client.add_channel(number, next_sequence); error != RW_OK) return error;
  std::unique_ptr<ProgramChannel> fresh(new ProgramChannel(client, number, next_sequence));
  if (options.submission_entries != 0) fresh->entries_.submission = options.submission_entries;
  if (options.delivery_entries != 0) fresh->entries_.delivery = options.delivery_entries;
  if (options.release_entries != 0) fresh->entries_.release = options.release_entries;
  fresh->entries_.batch = options.batch != 0;
  fresh->spin_ns_ = std::max<DurationNs>(options.spin_ns, 0);
  if (link->dead()) {
    TimeNs next_attempt = 0;
    if (const int error = client.relink(link, next_attempt); error != RW_OK)
      return error == RW_EAGAIN ? RW_ENOENGINE : error;
  }
  const int error = fresh->open_side(std::move(link));
  if (error == RW_OK) channel = std::move(fresh);
  return error;
}

ProgramChannel::~ProgramChannel() {
  if (epoll_ >= 0) close(epoll_);
  if (retry_timer_ >= 0) close(retry_timer_);
  // Before another thread can have the number. Messages still point into the maps of the sides.
  if (side_ != nullptr) side_->queues.reset();
  client_.remove_channel(number_, book_.next_sequence());
}

// ---- attaching ----------------------------------------------------------------------------------

int ProgramChannel::attached(TimeNs deadline) {
  if (!side_->link->dead()) [[likely]]
    return RW_OK;
  return reattach(deadline);
}

int ProgramChannel::reattach(TimeNs deadline) {
  if (lost_at_ == 0) {
    lost_at_ = monotonic_ns();
    retire_side();
  }
  const DurationNs patience = client_.reconnect_ns();
  const TimeNs give_up = patience < 0 ? kNeverNs : lost_at_ + patience;
  for (;;) {
    std::shared_ptr<AttachLink> link = side_->link;
    TimeNs next_attempt = 0;
    int error = client_.relink(link, next_attempt);
    if (error == RW_OK) {
      error = open_side(link);
      if (error == RW_OK) {
        lost_at_ = 0;
        return RW_OK;
      }
      // An engine that cannot take us as we were may be able to in a moment.
      if (!link->dead() && error != RW_ENOMEM && error != RW_ELIMIT && error != RW_EBUSY)
        return error;
      next_attempt = monotonic_ns() + 10 * kMillisecondNs;
    } else if (error != RW_EAGAIN) {
      return error;
    }
    const TimeNs now = monotonic_ns();
    if (now >= give_up) return fail(RW_ENOENGINE, "the engine has not come back");
    if (now >= deadline) return fail(deadline == 0 ? RW_EAGAIN : RW_ETIMEOUT, "the engine is away");
    wait_on(-1, 0, -1, 0, std::min({next_attempt, deadline, give_up}));
  }
}

// Keep what the dead engine had told us: outcomes are true, and mapped messages can be read.
void ProgramChannel::retire_side() {
  while (inbox_count_ < kMaxInbox && drain(*side_) > 0) {
  }
}

int ProgramChannel::open_side(std::shared_ptr<AttachLink> link) {
  auto side = std::make_unique<EngineSide>(client_, number_, std::move(link));
  if (const int error =
          ProgramQueues::open(client_, side->link, number_, book_.oldest(), entries_, side->queues);
      error != RW_OK)
    return error;
  if (const int error = transmit_.adopt_all(*side->link); error != RW_OK) return error;
  for (const Serve& serve : serves_)
    if (const int error = declare(*side, serve, AttachType::kServe); error != RW_OK) return error;
  if (side_ != nullptr) {
    old_sides_.reserve(old_sides_.size() + 1);
    side_->queues.reset();
    old_sides_.push_back(std::move(side_));
    std::erase_if(old_sides_, [](const auto& old) { return old->maps.idle(); });
  }
  side_ = std::move(side);
  ++side_count_;
  // The engine that would have said so is gone; who still reads them was told (S-55).
  while (!lent_.empty()) free_lent(lent_.begin()->first);
  replay_next_ = book_.oldest();
  replay_end_ = book_.next_sequence();
  // Without it nobody is told of what comes: the next call attaches again.
  if (!watch_side()) side_->link->mark_dead();
  pump_replay();
  return RW_OK;
}

int ProgramChannel::declare(EngineSide& side, const Serve& serve, AttachType type) {
  std::uint16_t handle = 0;
  if (const int error = client_.service_handle(*side.link, names_.text(serve.name), handle);
      error != RW_OK)
    return error;
  const bool share = serve.share && (side.link->welcome().features & kFeatureShare) != 0;
  const ServeRequest body{.channel = number_,
                          .service = handle,
                          .order = serve.order,
                          .flags = share ? std::uint16_t{kServeShare} : std::uint16_t{0},
                          .prefetch = serve.prefetch};
  Datagram answer;
  if (const int error = client_.request(*side.link, type, bytes_of(body), -1, answer);
      error != RW_OK)
    return error;
  if (type == AttachType::kServe) side.services.emplace_back(handle, serve.name);
  return RW_OK;
}

void ProgramChannel::pump_replay() {
  if (!replaying()) return;
  auto& submissions = side_->queues->submissions();
  for (; replaying() && submissions.room() > 0; ++replay_next_) {
    Outstanding* entry = book_.find(replay_next_);
    if (entry == nullptr) continue;
    Submission& submission = entry->submission;
    submission.flags |= kSubmitReplayed;
    if (entry->node != 0) submission.node = side_->link->status().find(names_.text(entry->node));
    // A name that was accepted once is refused only by an engine in trouble: then the default
    // service would be the wrong one, and the next engine is asked again.
    if (entry->service != 0 && client_.service_handle(*side_->link, names_.text(entry->service),
                                                      submission.service) != RW_OK) {
      side_->link->mark_dead();
      break;
    }
    queue(*entry);
    side_->queues->publish_submissions();
  }
  side_->queues->flush();
}

void ProgramChannel::look_for_death() {
  if (side_->queues->closed()) side_->link->mark_dead();
  if (++empty_polls_ < kPollsPerLook) return;
  empty_polls_ = 0;
  side_->link->check();
}

// ---- waiting ------------------------------------------------------------------------------------

// The engine has closed the channel, or broken a rule of its queues: nothing comes of waiting.
bool ProgramChannel::ended() {
  const ProgramQueues& queues = *side_->queues;
  if (!queues.closed() && !queues.broken()) return false;
  side_->link->mark_dead();
  return true;
}

bool ProgramChannel::ready(Want want, std::uint32_t worker) {
  ProgramQueues& queues = *side_->queues;
  if (queues.delivery_waits()) return true;
  const bool for_room = want == Want::kSubmissionRoom || replaying();
  if (for_room && queues.submissions().room() > 0) return true;
  if (want == Want::kReleaseRoom && queues.releases(worker).room() > 0) return true;
  return ended();
}

bool ProgramChannel::ready_now(Want want, std::uint32_t worker) {
  ProgramQueues& queues = *side_->queues;
  if (queues.delivery_waits_now()) return true;
  const bool for_room = want == Want::kSubmissionRoom || replaying();
  if (for_room && queues.submissions().room_now()) return true;
  if (want == Want::kReleaseRoom && queues.releases(worker).room_now()) return true;
  return ended();
}

// Wait until something may be there (RW_OK), or the deadline (RW_ETIMEOUT). Spins if asked to,
// yields for a short while, then sleeps.
int ProgramChannel::pause(TimeNs deadline, Want want, std::uint32_t worker) {
  side_->queues->flush();
  const TimeNs begin = monotonic_ns();
  const TimeNs spin_end = begin + spin_ns_;
  const TimeNs yield_end = std::min(deadline, spin_end + kYieldNs);
  TimeNs now = begin;
  for (int polls = 1;; ++polls) {
    if (ready(want, worker)) return RW_OK;
    const bool yields = now >= spin_end;
    if (yields) sched_yield();
    if (!yields && polls % kPollsPerClock != 0) continue;
    now = monotonic_ns();
    if (now >= yield_end) break;
  }
  if (now >= deadline) return RW_ETIMEOUT;
  return sleep(deadline, want, worker);
}

int ProgramChannel::sleep(TimeNs deadline, Want want, std::uint32_t worker) {
  ProgramQueues& queues = *side_->queues;
  const bool tidies = transmit_.has_idle_large() || side_->maps.has_idle();
  const TimeNs tidy_at = tidies ? monotonic_ns() + kLargeIdleNs : kNeverNs;
  queues.sleeper().arm(want == Want::kEntries && !replaying() ? kAsleep : kAsleepForRoom);
  if (!ready_now(want, worker)) {
    const auto seen = wait_on(queues.event(), POLLIN, side_->link->socket(), POLLRDHUP,
                              std::min(deadline, tidy_at));
    if (seen[0] != 0) queues.clear_event();
    if (seen[1] != 0) side_->link->mark_dead();
  }
  queues.sleeper().disarm();
  show_again();  // an event loop may go back to its descriptor, which says nothing any more
  if (queues.closed()) side_->link->mark_dead();
  if (tidies && monotonic_ns() >= tidy_at) tidy_memory();
  return RW_OK;  // the caller looks, and comes back while its deadline is ahead
}

void ProgramChannel::tidy_memory() {
  const TimeNs now = monotonic_ns();
  transmit_.trim(*side_->link, now - kLargeIdleNs / 2);
  side_->maps.trim(now - kMapIdleNs / 2);
}

// ---- event loops --------------------------------------------------------------------------------

int ProgramChannel::event_descriptor() {
  if (epoll_ >= 0) return epoll_;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return fail(RW_ESYSTEM, "epoll_create1 failed");
  retry_timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (retry_timer_ < 0 || !watch_side()) {
    const int saved = errno;
    if (retry_timer_ >= 0) close(retry_timer_);
    close(epoll_);
    epoll_ = retry_timer_ = -1;
    errno = saved;
    return fail(RW_ESYSTEM, "the descriptor to wait on cannot be made");
  }
  // What came before nobody watched must show at once.
  if (arm_event() || inbox_count_ > 0) show_again();
  return epoll_;
}

// What this call took out of the queues is for another to ask for: have the descriptor say so.
void ProgramChannel::show_again() {
  if (epoll_ < 0) return;
  const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 1}};
  timerfd_settime(retry_timer_, 0, &soon, nullptr);
}

// False: the kernel has no room for it.
bool ProgramChannel::watch_side() {
  if (epoll_ < 0) return true;
  epoll_event wanted{.events = EPOLLIN, .data = {}};
  // It stays from one side to the next.
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, retry_timer_, &wanted) != 0 && errno != EEXIST) return false;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, side_->queues->event(), &wanted) != 0) return false;
  // Answers to other threads' requests come there too: only the hang-up matters.
  wanted.events = EPOLLRDHUP;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, side_->link->socket(), &wanted) != 0) return false;
  const itimerspec never{};
  timerfd_settime(retry_timer_, 0, &never, nullptr);
  return true;
}

// A call found nothing: make the descriptor readable when that changes. True: it changed already.
bool ProgramChannel::arm_event() {
  if (epoll_ < 0) return false;
  if (side_->link->dead()) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, side_->link->socket(), nullptr);
    if (side_->queues != nullptr) epoll_ctl(epoll_, EPOLL_CTL_DEL, side_->queues->event(), nullptr);
    const itimerspec retry{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = kRetryTimerNs}};
    timerfd_settime(retry_timer_, 0, &retry, nullptr);
    return false;
  }
  std::uint64_t ticks = 0;
  [[maybe_unused]] const ssize_t ignored = read(retry_timer_, &ticks, sizeof ticks);
  ProgramQueues& queues = *side_->queues;
  queues.clear_event();
  queues.sleeper().arm(replaying() ? kAsleepForRoom : kAsleep);
  if (ready_now(Want::kEntries, 0)) {
    queues.sleeper().disarm();
    return side_->link->dead() ? arm_event() : true;
  }
  side_->link->check();
  return side_->link->dead();
}

// ---- draining -----------------------------------------------------------------------------------

std::size_t ProgramChannel::drain(EngineSide& side) {
  ProgramQueues& queues = *side.queues;
  queues.flush();
  std::size_t total = 0;
  const std::uint32_t worker_count = queues.worker_count();
  for (std::uint32_t turn = 0; turn < worker_count; ++turn) {
    const std::uint32_t worker = (next_worker_ + turn) % worker_count;
    auto& deliveries = queues.deliveries(worker);
    std::size_t taken = 0;
    while (taken < kDrainBurst && inbox_count_ < kMaxInbox) {
      const Delivery* entry = deliveries.peek();
      if (entry == nullptr) break;
      take_entry(side, *entry, worker);
      deliveries.skip();
      ++taken;
    }
    if (taken > 0) queues.publish_delivery_heads(worker);
    if (deliveries.broken()) side.link->mark_dead();
    total += taken;
  }
  next_worker_ = (next_worker_ + 1) % worker_count;
  if (total > 0) empty_polls_ = 0;
  return total;
}

void ProgramChannel::take_entry(EngineSide& side, const Delivery& entry, std::uint32_t worker) {
  switch (static_cast<DeliveryKind>(entry.kind)) {
    case DeliveryKind::kMessage:
    case DeliveryKind::kReply:
    case DeliveryKind::kDirect:
      take_message(side, entry, worker);
      break;
    case DeliveryKind::kOutcomes:
    case DeliveryKind::kTargets:
      take_outcomes(side, entry);
      break;
  }
}

void ProgramChannel::take_outcomes(EngineSide& side, const Delivery& entry) {
  const bool targets = entry.kind == static_cast<std::uint8_t>(DeliveryKind::kTargets);
  const std::size_t count = std::min<std::size_t>(entry.count, kOutcomesPerDelivery);
  for (std::size_t index = 0; index < count; ++index) {
    OutcomeRecord record;
    std::memcpy(&record, entry.inline_bytes + index * sizeof record, sizeof record);
    if (record.ending == kEndingMemoryFree) {
      free_lent(record.sequence);
      continue;
    }
    const Memory memory = (record.level & kLevelMemoryKept) != 0 ? Memory::kLent : Memory::kFree;
    record.level &= static_cast<std::uint8_t>(~kLevelMemoryKept);
    if (book_.find(record.sequence) == nullptr)
      continue;  // ended before: a late word of an engine that is gone
    const EndedSend ended{.sequence = record.sequence,
                          .node = record.node == kNoNode ? 0 : side.node_name(names_, record.node),
                          .ending = record.ending,
                          .reason = record.reason,
                          .level = record.level,
                          .attempts = record.attempt};
    if (targets) {
      book_.keep_target(ended);
      continue;
    }
    // Both may find no memory: then the entry is taken again.
    if (memory == Memory::kLent) keep_lent(record.sequence);
    book_.keep(ended);
    outcomes_unseen_ = true;
    finish(record.sequence, memory);
  }
}

void ProgramChannel::take_message(EngineSide& side, const Delivery& entry, std::uint32_t worker) {
  rw_message* message = make_message();
  const bool inside = entry.extent_file == 0;
  const bool key_inside =
      inside || ((entry.flags & kDeliverShared) != 0 && entry.key_bytes <= kInlineBytes);
  std::memcpy(&message->entry, &entry, offsetof(Delivery, inline_bytes));
  const Delivery& own = message->entry;
  message->side = &side;
  message->worker = worker;
  message->service = side.service_text(names_, own.service);
  message->origin_node = side.node_text(names_, own.origin.node);
  if (inside) {
    if (own.key_bytes > kInlineBytes || own.payload_bytes > kInlineBytes - own.key_bytes) {
      free_message(message);
      side.link->mark_dead();  // an engine that writes this is broken
      return;
    }
    std::memcpy(message->entry.inline_bytes, entry.inline_bytes,
                own.key_bytes + static_cast<std::size_t>(own.payload_bytes));
    message->key = own.inline_bytes;
    message->data = own.inline_bytes + own.key_bytes;
  } else {
    const bool current = &side == side_.get() && !side.link->dead();
    const int error = side.maps.hold(*side.link, own.extent_file, message->map);
    if (error != RW_OK) {
      // Not to be had now: let another have it, or us later. A dead engine's is sent again.
      if (current) return_token(side, worker, own.token, Verdict::kRetry, 0);
      free_message(message);
      return;
    }
    const MemoryFile& file = message->map->file;
    const std::size_t before = key_inside ? 0 : own.key_bytes;
    if (own.key_bytes > kMaxKeyBytes || (key_inside && own.key_bytes > kInlineBytes) ||
        before > own.payload_offset || own.payload_offset > file.bytes() ||
        own.payload_bytes > file.bytes() - own.payload_offset) {
      drop_extent(*message);
      free_message(message);
      side.link->mark_dead();
      return;
    }
    message->data = file.data() + own.payload_offset;
    if (key_inside) std::memcpy(message->entry.inline_bytes, entry.inline_bytes, own.key_bytes);
    message->key = key_inside ? own.inline_bytes : message->data - own.key_bytes;
  }
  if (own.kind == static_cast<std::uint8_t>(DeliveryKind::kReply)) {
    if (book_.find(own.ticket) == nullptr) {  // the call has ended: nobody waits for this
      return_token(side, worker, own.token, Verdict::kDone, 0);
      drop_extent(*message);
      free_message(message);
      return;
    }
    const Memory memory = (own.flags & kDeliverMemoryKept) != 0 ? Memory::kLent : Memory::kFree;
    if (memory == Memory::kLent) keep_lent(own.ticket);
    if (own.ticket == call_ticket_) {
      finish(own.ticket, memory);
      call_reply_ = message;
      return;
    }
    book_.keep({.sequence = own.ticket,
                .node = side.node_name(names_, own.origin.node),
                .ending = static_cast<std::uint8_t>(Ending::kDone),
                .reason = 0,
                .level = static_cast<std::uint8_t>(Level::kProcessed),
                .attempts = static_cast<std::uint8_t>(std::min<std::uint32_t>(own.attempt, 255))});
    finish(own.ticket, memory);
  }
  messages_unseen_ = true;
  message->next = nullptr;
  (inbox_last_ != nullptr ? inbox_last_->next : inbox_first_) = message;
  inbox_last_ = message;
  ++inbox_count_;
}

}  // namespace ringwire::ipc
