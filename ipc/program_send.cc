// Sends and loans of a channel (program_channel.h).
#include <algorithm>
#include <cstring>

#include "ipc/deadline.h"
#include "ipc/last_error.h"
#include "ipc/program_channel.h"

namespace ringwire::ipc {
namespace {

// A large loan leaves room for a key that does not fit into the queue entry; small ones, whose
// memory would double, are copied in that rare case.
constexpr std::uint64_t kLoanHeadroomBytes = kMaxKeyBytes;
constexpr std::uint64_t kLoanHeadroomFromBytes = 16'384;
// Sends between looks at the delivery queue: outcomes come eight to an entry.
constexpr std::uint32_t kSendsPerDrain = 16;

std::uint64_t loan_headroom(std::uint64_t bytes) {
  return bytes >= kLoanHeadroomFromBytes ? kLoanHeadroomBytes : 0;
}

// wait_ns of the send options: 0 = for ever, negative = not at all.
TimeNs room_deadline(const rw_send_options& options) {
  if (options.wait_ns == 0) return kNeverNs;
  return options.wait_ns < 0 ? 0 : deadline_of(options.wait_ns);
}

}  // namespace

// A send before it has a sequence number: its fields, as in Submission, and where its bytes are.
struct ProgramChannel::Draft {
  std::uint64_t hash = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_offset = 0;
  std::int64_t deadline_ns = 0;
  std::uint32_t extent_file = 0;
  std::uint32_t node_index = kNoNode;
  std::uint16_t key_bytes = 0;
  std::uint16_t service_handle = 0;
  std::uint16_t flags = 0;
  std::uint8_t target = 0;
  std::uint8_t level = 0;
  std::uint8_t require = 0;
  std::uint8_t priority = 0;
  const rw_origin* origin = nullptr;     // kOrigin
  const void* key = nullptr;             // nullptr when it stands in the extent
  const void* inline_payload = nullptr;  // nullptr when it stands in the extent
  Extent extent;
  NameIndex service = 0;
  NameIndex node = 0;
  std::uint64_t side = 0;  // whose numbers these are, by side_count_

  [[nodiscard]] std::size_t inline_room() const {
    return kInlineBytes - (origin == nullptr ? 0 : sizeof *origin);
  }
  // Field by field and from here both times: what was just stored by the field cannot be read in
  // larger pieces before it has left the store buffer.
  [[gnu::always_inline]] void write(Submission& to, std::uint64_t sequence) const {
    to.sequence = sequence;
    to.hash = hash;
    to.payload_bytes = payload_bytes;
    to.payload_offset = payload_offset;
    to.deadline_ns = deadline_ns;
    to.extent_file = extent_file;
    to.node = node_index;
    to.key_bytes = key_bytes;
    to.service = service_handle;
    to.flags = flags;
    to.target = target;
    to.level = level;
    to.require = require;
    to.priority = priority;
    std::memset(to.reserved, 0, sizeof to.reserved);
    std::byte* at = to.inline_bytes;
    if (origin != nullptr) {
      std::memcpy(at, origin, sizeof *origin);
      at += sizeof *origin;
    }
    if (key != nullptr && key_bytes != 0) {
      std::memcpy(at, key, key_bytes);
      at += key_bytes;
    }
    if (inline_payload != nullptr) std::memcpy(at, inline_payload, payload_bytes);
  }
};

int ProgramChannel::draft(const rw_target& target, const rw_send_options& options,
                          std::uint16_t flags, std::uint8_t default_level, Draft& draft) {
  draft.side = side_count_;
  const auto kind = static_cast<TargetKind>(target.kind);
  if (target.kind < 1 || target.kind > static_cast<std::uint32_t>(TargetKind::kOrigin))
    return fail(RW_EINVAL, "the target is none that a rw_target_... call made");
  if (target.key_bytes > kMaxKeyBytes || (target.key_bytes > 0 && target.key == nullptr))
    return fail(RW_EINVAL, "a key has up to %zu bytes, this one %zu", kMaxKeyBytes,
                target.key_bytes);
  if (options.level > RW_LEVEL_PROCESSED || options.require > RW_REQUIRE_ONE ||
      options.order > RW_ORDER_NONE || options.priority > 255 || options.timeout_ns < 0 ||
      options.share > 1)
    return fail(RW_EINVAL, "a send option is out of range");
  if (options.order == RW_ORDER_NONE) flags |= kSubmitOrderNone;
  if (options.no_wait != 0) flags |= kSubmitNoWait;
  if (options.share != 0) flags |= kSubmitShare;
  if (target.exclude_self != 0) flags |= kSubmitExcludeSelf;
  draft.flags = flags;
  draft.target = static_cast<std::uint8_t>(kind);
  draft.hash = target.hash;
  draft.level = options.level == RW_LEVEL_DEFAULT
                    ? default_level
                    : static_cast<std::uint8_t>(options.level - RW_LEVEL_NONE);
  draft.require = static_cast<std::uint8_t>(options.require);
  draft.priority = static_cast<std::uint8_t>(options.priority);
  if (options.timeout_ns != 0) draft.deadline_ns = deadline_of(options.timeout_ns);
  draft.key_bytes = static_cast<std::uint16_t>(target.key_bytes);
  draft.key = target.key;
  if (kind == TargetKind::kOrigin) {
    static_assert(sizeof(rw_origin) == sizeof(OriginToken));
    draft.origin = &target.origin;
  }
  if (kind == TargetKind::kNode) {
    if (target.node == nullptr) return fail(RW_EINVAL, "the target names no node");
    draft.node_index = side_->link->status().find(target.node);
    if (draft.node_index == kNoNode)
      return fail(RW_EINVAL, "no node named %.63s is known here", target.node);
    draft.node = names_.intern(target.node);
  }
  if (target.service == nullptr || target.service[0] == '\0') return RW_OK;
  return resolve_service(target.service, draft);
}

int ProgramChannel::resolve_service(const char* service, Draft& draft) {
  // Programs send to one service many times in a row.
  if (last_service_.side == side_count_ && std::strcmp(last_service_.text.c_str(), service) == 0) {
    draft.service = last_service_.name;
    draft.service_handle = last_service_.handle;
    return RW_OK;
  }
  const std::size_t name_bytes = std::strlen(service);
  if (name_bytes > kMaxNameBytes)
    return fail(RW_EINVAL, "a service name has up to %zu bytes", kMaxNameBytes);
  draft.service = names_.intern({service, name_bytes});
  const int error =
      client_.service_handle(*side_->link, names_.text(draft.service), draft.service_handle);
  if (error == RW_OK) {
    last_service_.text.assign(service, name_bytes);
    last_service_.name = draft.service;
    last_service_.handle = draft.service_handle;
    last_service_.side = side_count_;
  }
  return error;
}

// Say where the payload will be sent from: the queue entry, or an extent that it is copied to.
int ProgramChannel::place(Draft& draft, const void* data, std::size_t bytes, TimeNs deadline) {
  const std::size_t key_bytes = draft.key_bytes;
  const std::size_t room = draft.inline_room();
  draft.payload_bytes = bytes;
  const bool key_inline = key_bytes <= room;
  if (key_inline && bytes <= room - key_bytes) {
    if (bytes > 0) draft.inline_payload = data;
    return RW_OK;
  }
  const std::uint64_t limit = side_->link->welcome().max_message_bytes;
  if (limit != 0 && bytes > limit)
    return fail(RW_ETOOLARGE, "%zu bytes are over the limit of %llu", bytes,
                static_cast<unsigned long long>(limit));
  const std::size_t before = key_inline ? 0 : key_bytes;
  if (const int error = take_extent(before + bytes, deadline, draft.extent); error != RW_OK)
    return error;
  if (!key_inline) {
    std::memcpy(draft.extent.data, draft.key, key_bytes);
    draft.key = nullptr;
    draft.flags |= kSubmitKeyInExtent;
  }
  if (bytes > 0) std::memcpy(draft.extent.data + before, data, bytes);
  draft.extent_file = draft.extent.file;
  draft.payload_offset = draft.extent.offset + before;
  return RW_OK;
}

int ProgramChannel::take_extent(std::uint64_t bytes, TimeNs deadline, Extent& extent) {
  for (;;) {
    const int error = transmit_.take(*side_->link, bytes, extent);
    if (error != RW_EAGAIN) return error;
    if (drain(*side_) > 0) continue;
    if (deadline == 0) return fail(RW_EAGAIN, "all memory for sending is in use");
    if (inbox_count_ >= kMaxInbox || book_.count() == 0)
      return fail(RW_ENOMEM, "all memory for sending is in use");
    if (const int over = pause(deadline, Want::kEntries, 0); over != RW_OK) return over;
    if (const int gone = attached(deadline); gone != RW_OK) return gone;
  }
}

int ProgramChannel::wait_for_room(TimeNs deadline) {
  for (;;) {
    if (const int error = attached(deadline); error != RW_OK) return error;
    pump_replay();
    auto& submissions = side_->queues->submissions();
    if (++sends_since_drain_ >= kSendsPerDrain) {
      sends_since_drain_ = 0;
      drain(*side_);
    }
    const bool queue_room = submissions.room() > 0;
    if (queue_room && !book_.full() && !replaying()) return RW_OK;
    if (submissions.broken()) {
      side_->link->mark_dead();
      continue;
    }
    if (drain(*side_) > 0) continue;
    look_for_death();
    if (deadline == 0) return fail_plainly(RW_EAGAIN, "the queue is full");
    // Nothing is lost by stopping here; waiting would never end, as outcomes come behind them.
    if (inbox_count_ >= kMaxInbox)
      return fail(RW_EAGAIN, "%zu messages wait to be received first", inbox_count_);
    const Want want = queue_room ? Want::kEntries : Want::kSubmissionRoom;
    if (const int error = pause(deadline, want, 0); error != RW_OK)
      return fail(error, "no room in the queue within the time");
  }
}

void ProgramChannel::queue(Outstanding& entry) {
  Submission* place = side_->queues->submissions().claim();
  const Submission& submission = entry.submission;
  std::memcpy(place, &submission,
              offsetof(Submission, inline_bytes) + used_inline_bytes(submission));
}

int ProgramChannel::submit(Draft& draft, TimeNs deadline, rw_ticket* ticket) {
  int error = wait_for_room(deadline);
  if (error == RW_OK && draft.side != side_count_) [[unlikely]] {
    // Numbers of the engine that died since they were asked for mean nothing to this one.
    if (draft.node != 0) draft.node_index = side_->link->status().find(names_.text(draft.node));
    if (draft.service != 0)
      error =
          client_.service_handle(*side_->link, names_.text(draft.service), draft.service_handle);
  }
  if (error != RW_OK) {
    if (!draft.extent.empty()) transmit_.give_back(*side_->link, draft.extent);
    draft.extent = {};
    return error;
  }
  const std::uint64_t sequence = book_.next_sequence();
  const bool inside = draft.extent.empty();
  Outstanding& entry =
      book_.add(inside ? OutcomeBook::Payload::kInline : OutcomeBook::Payload::kInExtent);
  draft.write(entry.submission, sequence);
  if (!inside) entry.extent = draft.extent;
  entry.service = draft.service;
  entry.node = draft.node;
  draft.write(*side_->queues->submissions().claim(), sequence);
  side_->queues->publish_submissions();
  if (ticket != nullptr) *ticket = sequence;
  return RW_OK;
}

// The usual send, when nothing keeps it back: a small payload for a key or anybody, no deadline,
// room in the queue. The same as send(), without what it would ask in vain. False: nothing was
// done.
bool ProgramChannel::send_plainly(const rw_target& target, const void* data, std::size_t bytes,
                                  const rw_send_options& options, std::uint16_t flags,
                                  rw_ticket* ticket) {
  const bool simple = (target.kind == static_cast<std::uint32_t>(TargetKind::kKey) ||
                       target.kind == static_cast<std::uint32_t>(TargetKind::kRandom)) &&
                      target.exclude_self == 0 && target.key_bytes <= kInlineBytes &&
                      bytes <= kInlineBytes - target.key_bytes &&
                      (target.key_bytes == 0 || target.key != nullptr) &&
                      options.level <= RW_LEVEL_PROCESSED && options.require <= RW_REQUIRE_ONE &&
                      options.order <= RW_ORDER_NONE && options.priority <= 255 &&
                      options.timeout_ns == 0 && options.share == 0;
  if (!simple || side_->link->dead() || replaying() || book_.full()) return false;
  auto& submissions = side_->queues->submissions();
  if (submissions.room() == 0 || sends_since_drain_ + 1 >= kSendsPerDrain) return false;
  Draft made;
  if (target.service != nullptr && target.service[0] != '\0') {
    if (last_service_.side != side_count_ ||
        std::strcmp(last_service_.text.c_str(), target.service) != 0)
      return false;
    made.service = last_service_.name;
    made.service_handle = last_service_.handle;
  }
  ++sends_since_drain_;
  made.hash = target.hash;
  made.payload_bytes = bytes;
  made.key_bytes = static_cast<std::uint16_t>(target.key_bytes);
  made.key = target.key;
  made.inline_payload = bytes == 0 ? nullptr : data;
  made.target = static_cast<std::uint8_t>(target.kind);
  made.level = options.level == RW_LEVEL_DEFAULT
                   ? static_cast<std::uint8_t>(Level::kProcessed)
                   : static_cast<std::uint8_t>(options.level - RW_LEVEL_NONE);
  made.require = static_cast<std::uint8_t>(options.require);
  made.priority = static_cast<std::uint8_t>(options.priority);
  made.flags = flags;
  if (options.order == RW_ORDER_NONE) made.flags |= kSubmitOrderNone;
  if (options.no_wait != 0) made.flags |= kSubmitNoWait;
  const std::uint64_t sequence = book_.next_sequence();
  Outstanding& entry = book_.add(OutcomeBook::Payload::kInline);
  made.write(entry.submission, sequence);
  entry.service = made.service;
  entry.node = 0;
  made.write(*submissions.claim(), sequence);
  side_->queues->publish_submissions();
  if (ticket != nullptr) *ticket = sequence;
  return true;
}

int ProgramChannel::send(const rw_target& target, const void* data, std::size_t bytes,
                         const rw_send_options& options, std::uint16_t flags, rw_ticket* ticket) {
  if (send_plainly(target, data, bytes, options, flags, ticket)) return RW_OK;
  const TimeNs deadline = room_deadline(options);
  if (const int error = attached(deadline); error != RW_OK) return error;
  Draft made;
  constexpr auto kDefault = static_cast<std::uint8_t>(Level::kProcessed);
  if (const int error = draft(target, options, flags, kDefault, made); error != RW_OK) return error;
  if (const int error = place(made, data, bytes, deadline); error != RW_OK) return error;
  return submit(made, deadline, ticket);
}

int ProgramChannel::reply(const rw_message& message, const void* data, std::size_t bytes,
                          const rw_send_options& options, rw_ticket* ticket) {
  if (message.side != side_.get() || side_->link->dead())
    return fail(RW_ESTALE, "the engine that this message came from is gone");
  const rw_target target = [&] {
    rw_target made{};
    made.kind = static_cast<std::uint32_t>(TargetKind::kOrigin);
    std::memcpy(&made.origin, &message.entry.origin, sizeof made.origin);
    return made;
  }();
  const TimeNs deadline = room_deadline(options);
  Draft made;
  constexpr auto kDefault = static_cast<std::uint8_t>(Level::kAccepted);
  if (const int error = draft(target, options, kSubmitReply, kDefault, made); error != RW_OK)
    return error;
  if (const int error = place(made, data, bytes, deadline); error != RW_OK) return error;
  return submit(made, deadline, ticket);
}

// ---- loans --------------------------------------------------------------------------------------

int ProgramChannel::loan(std::size_t bytes, rw_loan_t& loan) {
  if (const int error = attached(kNeverNs); error != RW_OK) return error;
  const std::uint64_t headroom = loan_headroom(bytes);
  if (bytes > kNeverNs - headroom) return fail(RW_ETOOLARGE, "%zu bytes never fit", bytes);
  const std::uint64_t limit = side_->link->welcome().max_message_bytes;
  if (limit != 0 && bytes > limit)
    return fail(RW_ETOOLARGE, "%zu bytes are over the limit of %llu", bytes,
                static_cast<unsigned long long>(limit));
  Extent extent;
  if (const int error = take_extent(bytes + headroom, kNeverNs, extent); error != RW_OK)
    return error;
  loans_.emplace(++last_loan_, extent);
  loan = {};
  loan.data = extent.data + headroom;
  loan.bytes = bytes;
  loan.opaque[0] = last_loan_;
  loan.opaque[1] = headroom;
  return RW_OK;
}

int ProgramChannel::cancel_loan(rw_loan_t& loan) {
  const auto found = loans_.find(loan.opaque[0]);
  if (found == loans_.end()) return fail(RW_ESTALE, "no such loan");
  transmit_.give_back(*side_->link, found->second);
  loans_.erase(found);
  loan = {};
  return RW_OK;
}

int ProgramChannel::send_loan(const rw_target& target, rw_loan_t& loan,
                              const rw_send_options& options, rw_ticket* ticket) {
  const TimeNs deadline = room_deadline(options);
  if (const int error = attached(deadline); error != RW_OK) return error;
  const auto found = loans_.find(loan.opaque[0]);
  if (found == loans_.end()) return fail(RW_ESTALE, "no such loan");
  const Extent extent = found->second;
  const std::uint64_t headroom = loan.opaque[1];
  if (headroom > kLoanHeadroomBytes || loan.data != extent.data + headroom ||
      loan.bytes > extent.bytes - headroom)
    return fail(RW_EINVAL, "the loan was altered");
  Draft made;
  constexpr auto kDefault = static_cast<std::uint8_t>(Level::kProcessed);
  if (const int error = draft(target, options, 0, kDefault, made); error != RW_OK) return error;
  const std::size_t key_bytes = made.key_bytes;
  const std::size_t room = made.inline_room();
  const bool key_inline = key_bytes <= room;
  const bool all_inline = key_inline && loan.bytes <= room - key_bytes;
  const bool copies = all_inline || (!key_inline && key_bytes > headroom);
  if (copies) {
    if (const int error = place(made, loan.data, loan.bytes, deadline); error != RW_OK)
      return error;
  } else {
    made.payload_bytes = loan.bytes;
    made.extent_file = extent.file;
    made.payload_offset = extent.offset + headroom;
    if (!key_inline) {
      std::memcpy(extent.data + headroom - key_bytes, made.key, key_bytes);
      made.key = nullptr;
      made.flags |= kSubmitKeyInExtent;
    }
    // The loan stays the caller's until it is queued.
    if (const int error = wait_for_room(deadline); error != RW_OK) return error;
    made.extent = extent;
  }
  if (const int error = submit(made, deadline, ticket); error != RW_OK) {
    if (!copies) loans_.erase(loan.opaque[0]);  // given back by submit
    return error;
  }
  loans_.erase(loan.opaque[0]);
  if (copies) transmit_.give_back(*side_->link, extent);
  loan = {};
  return RW_OK;
}

}  // namespace ringwire::ipc
