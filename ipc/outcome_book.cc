#include "ipc/outcome_book.h"

namespace ringwire::ipc {
namespace {

constexpr std::size_t kFirstSlots = 64;  // 16 KiB: most channels have few sends under way

}  // namespace

OutcomeBook::OutcomeBook(std::uint64_t first_sequence)
    : slots_(kFirstSlots),
      states_(kFirstSlots),
      oldest_(first_sequence),
      next_(first_sequence),
      kept_(kFirstSlots),
      kept_order_(kFirstSlots) {}

Outstanding& OutcomeBook::add(Payload payload) {
  if (next_ - oldest_ >= slots_.size()) grow();
  state(next_) = payload == Payload::kInline ? State::kInline : State::kInExtent;
  ++count_;
  return slot(next_++);
}

Outstanding* OutcomeBook::find(std::uint64_t sequence) {
  // Unsigned: a sequence below oldest_ wraps to a huge distance.
  if (sequence - oldest_ >= next_ - oldest_) return nullptr;
  return state(sequence) == State::kEnded ? nullptr : &slot(sequence);
}

void OutcomeBook::remove(std::uint64_t sequence) {
  state(sequence) = State::kEnded;
  --count_;
  while (oldest_ != next_ && state(oldest_) == State::kEnded) ++oldest_;
}

void OutcomeBook::grow() {
  std::vector<Outstanding> larger(slots_.size() * 2);
  std::vector<State> states(larger.size());
  for (std::uint64_t at = oldest_; at != next_; ++at) {
    larger[at & (larger.size() - 1)] = slot(at);
    states[at & (larger.size() - 1)] = state(at);
  }
  slots_ = std::move(larger);
  states_ = std::move(states);
}

void OutcomeBook::keep(const EndedSend& ended) {
  while (kept_slot(ended.sequence).sequence != 0 && kept_.size() < kMaxKeptOutcomes) grow_kept();
  EndedSend& place = kept_slot(ended.sequence);
  while (any_order() && kept_slot(first_order()).sequence != first_order()) ++order_first_;
  push_order(ended.sequence);  // the last that needs memory
  if (place.sequence != 0) targets_.erase(place.sequence);
  place = ended;
}

void OutcomeBook::push_order(std::uint64_t sequence) {
  if (order_end_ - order_first_ == kept_order_.size()) {
    std::vector<std::uint64_t> larger(kept_order_.size() * 2);
    for (std::uint64_t at = order_first_; at != order_end_; ++at)
      larger[at & (larger.size() - 1)] = kept_order_[at & (kept_order_.size() - 1)];
    kept_order_ = std::move(larger);
  }
  kept_order_[order_end_++ & (kept_order_.size() - 1)] = sequence;
}

void OutcomeBook::grow_kept() {
  std::vector<EndedSend> larger(kept_.size() * 2);
  for (const EndedSend& ended : kept_)
    if (ended.sequence != 0) larger[ended.sequence & (larger.size() - 1)] = ended;
  kept_ = std::move(larger);
}

bool OutcomeBook::take(std::uint64_t sequence, EndedSend& ended) {
  EndedSend& place = kept_slot(sequence);
  if (sequence == 0 || place.sequence != sequence) return false;
  ended = place;
  place.sequence = 0;
  if (any_order() && first_order() == sequence) ++order_first_;
  note_shown(sequence);
  return true;
}

bool OutcomeBook::take_oldest(EndedSend& ended) {
  while (any_order()) {
    const std::uint64_t sequence = first_order();
    if (take(sequence, ended)) return true;
    ++order_first_;
  }
  return false;
}

void OutcomeBook::keep_target(const EndedSend& target) {
  targets_[target.sequence].push_back(target);
}

const std::vector<EndedSend>* OutcomeBook::targets(std::uint64_t sequence) const {
  const auto found = targets_.find(sequence);
  return found == targets_.end() ? nullptr : &found->second;
}

void OutcomeBook::note_shown(std::uint64_t sequence) {
  if (!targets_.empty() && targets_.contains(sequence)) shown_.push_back(sequence);
}

void OutcomeBook::forget_shown_targets() {
  for (const std::uint64_t sequence : shown_) targets_.erase(sequence);
  shown_.clear();
}

}  // namespace ringwire::ipc
