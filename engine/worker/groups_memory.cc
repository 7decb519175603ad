// Where the payload of a waiting message lies, and copying it to where its consumer may read it
// (groups.h).
#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/worker/groups.h"

namespace ringwire::worker {
namespace {

/// Of lent memory whose program is gone, copied every 20 ms: at most half a millisecond of a turn.
constexpr std::uint64_t kTakenBytesPerPass = 4u << 20;

}  // namespace

/// A message that came before its consumer was known may lie in another user's memory, or in its
/// sender's, which this consumer did not ask for: it is copied over, one piece a turn. False: not
/// all of it is there yet.
bool Groups::fit_memory(std::uint32_t in, const Consumer& consumer) {
  InMessage& message = core_.ins[in];
  const DomainIndex domain = core_.channels[consumer.channel].domain;
  const bool fits = message.domain == domain && (message.lender == kNone || consumer.share);
  if (!message.extent.empty() && !fits) {
    move_some(in, domain);
    return message.domain == domain && message.lender == kNone;
  }
  message.domain = domain;
  return true;
}

/// Copies one piece of a message into memory of this domain's pool; with the last one it is there.
/// Returns the bytes copied.
std::uint64_t Groups::move_some(std::uint32_t in, DomainIndex domain) {
  InMessage& message = core_.ins[in];
  const bool lent = message.lender != kNone;
  const std::uint32_t key_room = lent ? key_room_for(message.key_bytes) : message.key_room;
  const std::uint64_t bytes = message.header.payload_bytes;
  if (!message.moving.empty() && message.moving_domain != domain) {
    core_.give_back(message.moving_domain, message.moving);
    message.moving = {};
  }
  if (message.moving.empty()) {
    message.moving = room_to_move(domain, key_room + bytes);
    if (message.moving.empty()) return 0;
    message.moving_domain = domain;
    message.moved_bytes = 0;
    if (message.key_bytes != 0)
      std::memcpy(message.moving.data + key_room - message.key_bytes, message.key(),
                  message.key_bytes);
  }
  const std::uint64_t piece = std::min(bytes - message.moved_bytes, kLocalCopyBytesPerTurn);
  if (piece != 0)
    std::memcpy(message.moving.data + key_room + message.moved_bytes,
                message.payload() + message.moved_bytes, static_cast<std::size_t>(piece));
  message.moved_bytes += piece;
  core_.worked = true;
  if (message.moved_bytes != bytes) return piece;
  core_.end_use(in, {message.domain, message.extent, message.lender});
  message.extent = std::exchange(message.moving, {});
  message.lender = kNone;
  message.key_room = key_room;
  message.domain = domain;
  return piece;
}

void Groups::take_from_the_gone() {
  std::uint64_t left = kTakenBytesPerPass;
  for (std::uint32_t in = 0; in < core_.ins.capacity() && left != 0; ++in) {
    const InMessage& message = core_.ins[in];
    const bool waits = message.state == InState::kQueued || message.state == InState::kAtConsumer;
    if (!waits || message.lender == kNone ||
        !core_.channels[core_.outs[message.lender].channel].removing)
      continue;
    std::uint64_t moved = 0;
    do {
      moved = move_some(in, message.domain);
      left -= std::min(moved, left);
    } while (moved != 0 && left != 0 && message.lender != kNone);
  }
}

ipc::Extent Groups::room_to_move(DomainIndex domain, std::uint64_t bytes) {
  if (ipc::ExtentPool::class_of(bytes) != ipc::kLargeClass) return core_.take_small(domain, bytes);
  if (const auto large = core_.pool(domain).take(bytes)) return *large;
  if (core_.now >= next_ask_ns_) {  // one file at a time, and not each turn
    next_ask_ns_ = core_.now + kRetryNs;
    static_cast<void>(
        core_.outbox.try_tell(NeedLarge{domain, ipc::ExtentPool::large_file_bytes(bytes), 0}));
  }
  return {};
}

}  // namespace ringwire::worker
