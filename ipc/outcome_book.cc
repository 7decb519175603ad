#include "ipc/outcome_book.h"

namespace ringwire::ipc {
namespace {

constexpr std::size_t kFirstSlots = 64;  // 16 KiB: most channels have few sends under way

}  // namespace

OutcomeBook::OutcomeBook(std::uint64_t first_sequence)
    : slots_(kFirstSlots), oldest_(first_sequence), next_(first_sequence), kept_(kFirstSlots) {}

Outstanding& OutcomeBook::add() {
  if (next_ - oldest_ >= slots_.size()) grow();
  Outstanding& entry = slot(next_++);
  entry.live = true;
  ++count_;
  return entry;
}

Outstanding* OutcomeBook::find(std::uint64_t sequence) {
  // Unsigned: a sequence below oldest_ wraps to a huge distance.
  if (sequence - oldest_ >= next_ - oldest_) return nullptr;
  Outstanding& entry = slot(sequence);
  return entry.live ? &entry : nullptr;
}

void OutcomeBook::remove(std::uint64_t sequence) {
  slot(sequence).live = false;
  --count_;
  while (oldest_ != next_ && !slot(oldest_).live) ++oldest_;
}

void OutcomeBook::grow() {
  std::vector<Outstanding> larger(slots_.size() * 2);
  for (std::uint64_t at = oldest_; at != next_; ++at)
    larger[at & (larger.size() - 1)] = slots_[at & (slots_.size() - 1)];
  slots_ = std::move(larger);
}

void OutcomeBook::keep(const EndedSend& ended) {
  while (kept_slot(ended.sequence).sequence != 0 && kept_.size() < kMaxKeptOutcomes) grow_kept();
  EndedSend& place = kept_slot(ended.sequence);
  while (!kept_order_.empty() && kept_slot(kept_order_.front()).sequence != kept_order_.front())
    kept_order_.pop_front();
  kept_order_.push_back(ended.sequence);  // the last that needs memory
  if (place.sequence != 0) targets_.erase(place.sequence);
  place = ended;
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
  if (!kept_order_.empty() && kept_order_.front() == sequence) kept_order_.pop_front();
  note_shown(sequence);
  return true;
}

bool OutcomeBook::take_oldest(EndedSend& ended) {
  while (!kept_order_.empty()) {
    const std::uint64_t sequence = kept_order_.front();
    if (take(sequence, ended)) return true;
    kept_order_.pop_front();
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
