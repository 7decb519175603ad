#include "engine/worker/duplicate_windows.h"

#include <algorithm>
#include <bit>

#include "base/hash.h"
#include "base/mutant.h"
#include "ipc/layout.h"

namespace ringwire::worker {
void DuplicateWindows::Window::reset() {
  key = 0;
  node = 0;
  any_runs_ended = false;
  highest = 0;
  bits.fill(0);
  link = {};
}

DuplicateWindows::DuplicateWindows(std::uint32_t windows, std::uint64_t seed)
    : seed_(seed), windows_(windows), of_node_(ipc::kMaxNodes), index_(windows) {}

std::uint64_t DuplicateWindows::key_of(std::uint32_t node, const MessageId& id) const {
  return seeded_hash(seed_, node, id.attachment.high, id.attachment.low, id.channel);
}

std::uint64_t DuplicateWindows::memory_bytes(std::uint32_t windows) {
  return windows * sizeof(Window) + HashIndex::memory_bytes(windows) +
         ipc::kMaxNodes * sizeof(IndexList<Window>);
}

std::uint32_t DuplicateWindows::find(std::uint32_t node, const MessageId& id) const {
  if (last_ != kNone && windows_[last_].is_of(node, id)) return last_;
  last_ = index_.find(key_of(node, id));
  return last_;
}

void DuplicateWindows::give_up(std::uint32_t at) {
  if (last_ == at) last_ = kNone;
  index_.erase(windows_[at].key);
  of_node_[windows_[at].node].remove(windows_, at);
  windows_.give_back(at);
}

/// The node with the most windows; who asks for one more comes first among equals. One pass over
/// the nodes, and only when a channel appears while all windows are in use.
std::uint32_t DuplicateWindows::richest(std::uint32_t asking) const {
  std::uint32_t best = asking;
  for (std::uint32_t node = 0; node < of_node_.size(); ++node)
    if (of_node_[node].count() > of_node_[best].count()) best = node;
  return best;
}

DuplicateWindows::Window& DuplicateWindows::window_of(std::uint32_t node, const MessageId& id) {
  // Mostly the one of the message before.
  if (last_ != kNone && of_node_[node].back() == last_ && windows_[last_].is_of(node, id))
      [[likely]]
    return windows_[last_];
  return other_window_of(node, id);
}

DuplicateWindows::Window& DuplicateWindows::other_window_of(std::uint32_t node,
                                                            const MessageId& id) {
  std::uint32_t at = find(node, id);
  if (at != kNone && windows_[at].is_of(node, id)) {
    IndexList<Window>& list = of_node_[node];
    if (list.back() == at) return windows_[at];
    list.remove(windows_, at);
    list.push_back(windows_, at);
    return windows_[at];
  }
  if (at != kNone) give_up(at);  // another channel of the same 64-bit key, 1 in 2^64
  if (windows_.free_count() == 0) give_up(of_node_[richest(node)].front());
  at = windows_.take();
  Window& window = windows_[at];
  window.key = key_of(node, id);
  window.node = node;
  window.attachment = id.attachment;
  window.channel = id.channel;
  index_.put(window.key, at);
  of_node_[node].push_back(windows_, at);
  return window;
}

Seen DuplicateWindows::look(std::uint32_t node, const MessageId& id) const {
  const std::uint32_t found = find(node, id);
  if (found == kNone || !windows_[found].is_of(node, id)) return Seen::kNever;
  const Window& window = windows_[found];
  if (id.sequence > window.highest) return Seen::kNever;
  if (window.highest - id.sequence >= (RW_MUTANT(59) ? 16 : kWindow)) return Seen::kStale;
  const std::uint64_t at = id.sequence % kWindow;
  return RW_MUTANT(56) ? Seen::kNever
                       : static_cast<Seen>((window.bits[at / 32] >> (at % 32 * 2)) & 3);
}

void DuplicateWindows::put(Window& window, std::uint64_t sequence, Seen seen) {
  const std::uint64_t at = sequence % kWindow;
  std::uint64_t& word = window.bits[at / 32];
  word = (word & ~(std::uint64_t{3} << (at % 32 * 2))) |
         (static_cast<std::uint64_t>(seen) << (at % 32 * 2));
}

bool DuplicateWindows::mark_run(std::uint32_t node, const MessageId& first,
                                std::span<const std::uint32_t> offsets) {
  Window& window = window_of(node, first);
  if (first.sequence <= window.highest) {
    for (const std::uint32_t offset : offsets) {
      const std::uint64_t sequence = first.sequence + offset;
      if (sequence > window.highest) break;
      const std::uint64_t at = sequence % kWindow;
      if (window.highest - sequence >= kWindow || (window.bits[at / 32] >> (at % 32 * 2) & 3) != 0)
        return false;
    }
  }
  const std::uint64_t last = first.sequence + offsets.back();
  if (last > window.highest) {
    const std::uint64_t passed = last - window.highest;
    if (last - first.sequence >= kWindow) return false;
    if (passed >= kWindow) {
      window.bits.fill(0);
    } else {
      forget(window, window.highest + 1, passed);
    }
    window.highest = last;
  }
  for (const std::uint32_t offset : offsets) put(window, first.sequence + offset, Seen::kQueued);
  return true;
}

void DuplicateWindows::mark_run_done(std::uint32_t node, const MessageId& first,
                                     std::span<const std::uint32_t> offsets, std::uint32_t mask) {
  Window& window = window_of(node, first);
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const std::uint64_t sequence =
        first.sequence + offsets[static_cast<std::size_t>(std::countr_zero(left))];
    if (sequence > window.highest) {
      // The window was given up meanwhile, and is a new one.
      MessageId id = first;
      id.sequence = sequence;
      mark(node, id, Seen::kDone);
    } else if (window.highest - sequence < kWindow) {
      put(window, sequence, Seen::kDone);
    }
  }
}

void DuplicateWindows::end_runs(std::uint32_t node, const MessageId& id, std::uint32_t generation) {
  if (runs_ended(node, id, generation)) return;
  Window& window = window_of(node, id);
  window.any_runs_ended = true;
  window.ended_runs = generation;
}

// Generations compare serially (RFC 1982).
bool DuplicateWindows::runs_ended(std::uint32_t node, const MessageId& id,
                                  std::uint32_t generation) const {
  const std::uint32_t found = find(node, id);
  if (found == kNone || !windows_[found].is_of(node, id)) return false;
  const Window& window = windows_[found];
  return window.any_runs_ended && static_cast<std::int32_t>(generation - window.ended_runs) <= 0;
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

void DuplicateWindows::mark(std::uint32_t node, const MessageId& id, Seen seen) {
  if (seen == Seen::kNever && look(node, id) == Seen::kNever) return;  // needs no window
  Window& window = window_of(node, id);
  if (id.sequence > window.highest) {
    // What the window passes over is forgotten before its cells serve newer numbers.
    // The next number's own cell is written below.
    const std::uint64_t passed = id.sequence - window.highest;
    if (passed >= kWindow) {
      window.bits.fill(0);
    } else if (passed > 1) {
      if (!RW_MUTANT(57)) forget(window, window.highest + 1, passed);
    }
    window.highest = id.sequence;
  } else if (window.highest - id.sequence >= kWindow) {
    return;
  }
  put(window, id.sequence, seen);
}

}  // namespace ringwire::worker
