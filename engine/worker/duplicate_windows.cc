#include "engine/worker/duplicate_windows.h"

#include <algorithm>

#include "base/mutant.h"

namespace ringwire::worker {
namespace {

std::uint64_t key_of(const MessageId& id) {
  return mix64(id.attachment.high ^ mix64(id.attachment.low + id.channel));
}

}  // namespace

void DuplicateWindows::Window::reset() {
  key = 0;
  highest = 0;
  bits.fill(0);
  link = {};
}

DuplicateWindows::DuplicateWindows(std::uint32_t windows) : windows_(windows), index_(windows) {}

std::uint64_t DuplicateWindows::memory_bytes(std::uint32_t windows) {
  return windows * (sizeof(Window) + 4 * sizeof(std::uint64_t));
}

DuplicateWindows::Window& DuplicateWindows::window_of(const MessageId& id) {
  const std::uint64_t key = key_of(id);
  std::uint32_t at = index_.find(key);
  if (at == kNone || windows_[at].attachment != id.attachment ||
      windows_[at].channel != id.channel) {
    if (at != kNone) {  // another channel of the same 64-bit key, 1 in 2^64: it is forgotten
      index_.erase(key);
      recent_.remove(windows_, at);
      windows_.give_back(at);
    }
    at = windows_.take();
    if (at == kNone) {
      at = recent_.pop_front(windows_);
      index_.erase(windows_[at].key);
      windows_.give_back(at);
      at = windows_.take();
    }
    Window& window = windows_[at];
    window.key = key;
    window.attachment = id.attachment;
    window.channel = id.channel;
    index_.put(key, at);
  } else {
    if (recent_.back() == at) return windows_[at];
    recent_.remove(windows_, at);
  }
  recent_.push_back(windows_, at);
  return windows_[at];
}

Seen DuplicateWindows::look(const MessageId& id) {
  const Window& window = window_of(id);
  if (id.sequence > window.highest) return Seen::kNever;
  if (window.highest - id.sequence >= (RW_MUTANT(59) ? 16 : kWindow)) return Seen::kStale;
  const std::uint64_t at = id.sequence % kWindow;
  return RW_MUTANT(56) ? Seen::kNever
                       : static_cast<Seen>((window.bits[at / 32] >> (at % 32 * 2)) & 3);
}

// A word of 32 cells at a time: a sender that leaves gaps must not make us step through them.
void DuplicateWindows::forget(Window& window, std::uint64_t from, std::uint64_t count) {
  while (count > 0) {
    const std::uint64_t at = from % kWindow;
    const std::uint64_t cells = std::min(count, 32 - at % 32);
    const std::uint64_t ones = ~std::uint64_t{0} >> (64 - 2 * cells);
    window.bits[at / 32] &= ~(ones << (at % 32 * 2));
    from += cells;
    count -= cells;
  }
}

void DuplicateWindows::mark(const MessageId& id, Seen seen) {
  Window& window = window_of(id);
  if (id.sequence > window.highest) {
    // What the window passes over is forgotten before its cells serve newer numbers.
    if (id.sequence - window.highest >= kWindow) {
      window.bits.fill(0);
    } else {
      if (!RW_MUTANT(57)) forget(window, window.highest + 1, id.sequence - window.highest);
    }
    window.highest = id.sequence;
  } else if (window.highest - id.sequence >= kWindow) {
    return;
  }
  const std::uint64_t at = id.sequence % kWindow;
  std::uint64_t& word = window.bits[at / 32];
  word = (word & ~(std::uint64_t{3} << (at % 32 * 2))) |
         (static_cast<std::uint64_t>(seen) << (at % 32 * 2));
}

}  // namespace ringwire::worker
