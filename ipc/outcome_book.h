// The book of one channel: every submission until its outcome (so that it can be submitted again to
// a restarted engine), and every outcome until the program has asked for it. Pure; one thread.
// Hot.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "ipc/extent_pool.h"
#include "ipc/layout.h"

namespace ringwire::ipc {

/// Outcomes that nobody asks for are forgotten, oldest first, when newer ones need the room: twice
/// the span of what can be outstanding.
inline constexpr std::size_t kMaxKeptOutcomes = 2 * kMaxOutstandingSpan;

/// Index of a name in the channel's name table; 0 = "".
using NameIndex = std::uint32_t;

struct alignas(64) Outstanding {
  Submission submission;
  Extent extent;          ///< means nothing when it was added without one
  NameIndex service = 0;  ///< to find the next engine's handle
  NameIndex node = 0;     ///< kNode: to find the next engine's index
};
static_assert(sizeof(Outstanding) == 256);

struct EndedSend {
  std::uint64_t sequence = 0;  ///< 0 = empty
  NameIndex node = 0;
  std::uint8_t ending = 0;
  std::uint8_t reason = 0;
  std::uint8_t level = 0;
  std::uint8_t attempts = 0;
};

class OutcomeBook {
 public:
  explicit OutcomeBook(std::uint64_t first_sequence);

  // --- outstanding ---

  [[nodiscard]] std::uint64_t next_sequence() const { return next_; }
  /// The oldest without an outcome; next_sequence() when there is none.
  [[nodiscard]] std::uint64_t oldest() const { return oldest_; }
  [[nodiscard]] std::uint32_t count() const { return count_; }
  [[nodiscard]] bool full() const { return next_ - oldest_ >= kMaxOutstandingSpan; }
  enum class Payload : std::uint8_t { kInline, kInExtent };
  /// Takes next_sequence(). Only when not full(). Valid until the next add. The caller sets all
  /// that it means; the rest is what was there before.
  Outstanding& add(Payload payload);
  /// nullptr when it has ended or never was.
  [[nodiscard]] Outstanding* find(std::uint64_t sequence);
  void remove(std::uint64_t sequence);
  /// Of an outstanding one; empty when its payload is inline.
  [[nodiscard]] Extent extent(std::uint64_t sequence) {
    return state(sequence) == State::kInExtent ? slot(sequence).extent : Extent{};
  }

  // --- ended ---

  void keep(const EndedSend& ended);
  /// Take the outcome of one send. False: not ended, forgotten or taken.
  bool take(std::uint64_t sequence, EndedSend& ended);
  /// Perhaps one is kept.
  [[nodiscard]] bool any_kept() const { return any_order(); }
  /// Take the oldest kept outcome.
  bool take_oldest(EndedSend& ended);

  // --- targets of multi-target sends ---

  void keep_target(const EndedSend& target);
  [[nodiscard]] const std::vector<EndedSend>* targets(std::uint64_t sequence) const;
  /// Forget the targets of outcomes that were taken before this call's take.
  void forget_shown_targets();

 private:
  [[nodiscard]] Outstanding& slot(std::uint64_t sequence) {
    return slots_[sequence & (slots_.size() - 1)];
  }
  [[nodiscard]] EndedSend& kept_slot(std::uint64_t sequence) {
    return kept_[sequence & (kept_.size() - 1)];
  }
  /// Beside the slots: an end looks at nothing else of an inline one.
  enum class State : std::uint8_t { kEnded, kInline, kInExtent };
  [[nodiscard]] State& state(std::uint64_t sequence) {
    return states_[sequence & (states_.size() - 1)];
  }
  void grow();
  void grow_kept();
  void push_order(std::uint64_t sequence);
  [[nodiscard]] bool any_order() const { return order_first_ != order_end_; }
  [[nodiscard]] std::uint64_t first_order() const {
    return kept_order_[order_first_ & (kept_order_.size() - 1)];
  }
  void note_shown(std::uint64_t sequence);

  std::vector<Outstanding> slots_;  // a power of two of them; sequence & mask
  std::vector<State> states_;       // as many
  std::uint64_t oldest_;
  std::uint64_t next_;
  std::uint32_t count_ = 0;
  std::vector<EndedSend> kept_;            // sequence & mask
  std::vector<std::uint64_t> kept_order_;  // a ring of a power of two; [first, end) & mask
  std::uint64_t order_first_ = 0;
  std::uint64_t order_end_ = 0;
  std::unordered_map<std::uint64_t, std::vector<EndedSend>> targets_;
  std::vector<std::uint64_t> shown_;
};

}  // namespace ringwire::ipc
