// Who has been here before: per sending channel, the state of its last kWindow sequence numbers, so
// that a message that is sent again (after a lost session, a failover, an engine restart) is handed
// to programs once per node (docs/architecture.md, G2). Outside of the window it says "stale" and
// never guesses. Windows belong to the node that the channel is at. When all are in use, the node
// with the most gives up its least recently used one, which forgets: so a node that opens channel
// after channel costs others nothing. Hot; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "engine/worker/hash_index.h"
#include "engine/worker/index_pool.h"

namespace ringwire::worker {

enum class Seen : std::uint8_t {
  kNever = 0,
  kQueued = 1,  ///< arrived whole, waits for or is with a program
  kDone = 2,
  kGivenUp = 3,  ///< turned away or ended without being done; may come again
  kStale = 4,    ///< older than the window: nobody can tell
};

class DuplicateWindows {
 public:
  /// Twice ipc::kMaxOutstandingSpan: a sender re-sends only what is outstanding, so that whatever
  /// may come again is inside as long as no newer half has passed it.
  static constexpr std::uint64_t kWindow = 16'384;

  /// `seed`: secret, so that no peer can choose channels that meet in the table.
  DuplicateWindows(std::uint32_t windows, std::uint64_t seed);

  /// `node`, here and below: the index of the node that the message comes from.
  [[nodiscard]] Seen look(std::uint32_t node, const MessageId& id) const;
  /// Record a state (not kStale); kNever forgets. Ignored for what is stale. Takes a window when
  /// the channel has none.
  void mark(std::uint32_t node, const MessageId& id, Seen seen);

  /// Record as queued all messages of a run: `first` and those behind it by these offsets, which
  /// rise from 0. False, and nothing recorded, if any of them is known or stale.
  bool mark_run(std::uint32_t node, const MessageId& first, std::span<const std::uint32_t> offsets);
  /// Record as done those of a run that `mask` has a bit for.
  void mark_run_done(std::uint32_t node, const MessageId& first,
                     std::span<const std::uint32_t> offsets, std::uint32_t mask);

  /// A message of the channel's runs of this generation will come again (docs/wire.md W-74): no
  /// more of these runs may be handed out.
  void end_runs(std::uint32_t node, const MessageId& id, std::uint32_t generation);
  [[nodiscard]] bool runs_ended(std::uint32_t node, const MessageId& id,
                                std::uint32_t generation) const;

  [[nodiscard]] static std::uint64_t memory_bytes(std::uint32_t windows);

 private:
  struct Window {
    std::uint32_t generation = 0;
    ListLink link;
    std::uint64_t key = 0;
    std::uint32_t node = 0;
    Id128 attachment;
    std::uint32_t channel = 0;
    bool any_runs_ended = false;
    std::uint32_t ended_runs = 0;                  // the newest generation of which runs ended
    std::uint64_t highest = 0;                     // sequence
    std::array<std::uint64_t, kWindow / 32> bits;  // 2 per sequence, at sequence % kWindow
    void reset();
    [[nodiscard]] bool is_of(std::uint32_t of_node, const MessageId& id) const {
      return node == of_node && attachment == id.attachment && channel == id.channel;
    }
  };

  [[nodiscard]] std::uint64_t key_of(std::uint32_t node, const MessageId& id) const;
  [[nodiscard]] Window& window_of(std::uint32_t node, const MessageId& id);
  [[nodiscard]] Window& other_window_of(std::uint32_t node, const MessageId& id);
  /// Index of the channel's window, or of another's with the same 64-bit key, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint32_t node, const MessageId& id) const;
  void give_up(std::uint32_t at);
  [[nodiscard]] std::uint32_t richest(std::uint32_t asking) const;
  static void forget(Window& window, std::uint64_t from, std::uint64_t count);
  static void put(Window& window, std::uint64_t sequence, Seen seen);

  const std::uint64_t seed_;
  IndexPool<Window> windows_;
  std::vector<IndexList<Window>> of_node_;  // front = least recently used
  HashIndex index_;
  /// The window found last, kNone: none. A message is looked up three times, and one channel's come
  /// together.
  mutable std::uint32_t last_ = kNone;
};

}  // namespace ringwire::worker
