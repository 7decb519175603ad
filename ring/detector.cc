#include "ring/detector.h"

#include <algorithm>

#include "base/mutant.h"

namespace ringwire::ring {

LivenessChange Detector::on_control_established(TimeNs now) {
  advance(now);
  hear();
  sent_ = now;
  const bool was_up = liveness_ == Liveness::kUp;
  liveness_ = Liveness::kUp;
  return was_up ? LivenessChange::kNone : LivenessChange::kBack;
}

LivenessChange Detector::on_control_closed(TimeNs now, CloseKind kind) {
  advance(now);
  if (liveness_ == Liveness::kDead) return LivenessChange::kNone;
  if (kind == CloseKind::kFinOrReset) {
    liveness_ = Liveness::kDead;
    return LivenessChange::kDied;
  }
  if (liveness_ == Liveness::kSuspect) return LivenessChange::kNone;
  liveness_ = Liveness::kSuspect;
  return LivenessChange::kSuspected;
}

LivenessChange Detector::on_heard(TimeNs now) {
  advance(now);
  if (liveness_ == Liveness::kDead) return LivenessChange::kNone;
  hear();
  if (liveness_ == Liveness::kUp) return LivenessChange::kNone;
  liveness_ = Liveness::kUp;
  return LivenessChange::kBack;
}

void Detector::on_unanswered(TimeNs now) {
  advance(now);
  if (is_unanswered_) return;
  is_unanswered_ = true;
  unanswered_at_ = silence_;
}

LivenessChange Detector::on_tick(TimeNs now) {
  advance(now);
  if (liveness_ != Liveness::kUp || !silent_too_long() || RW_MUTANT(124))
    return LivenessChange::kNone;
  liveness_ = Liveness::kSuspect;
  return LivenessChange::kSuspected;
}

TimeNs Detector::next_deadline_ns() const {
  if (liveness_ == Liveness::kDead) return kNeverNs;
  // Never later than the next tick: a gap is only counted up to max_tick_ns.
  return std::min(ticked_ + tunables_.max_tick_ns, sent_ + tunables_.heartbeat_ns);
}

void Detector::advance(TimeNs now) {
  const DurationNs gap = std::max<DurationNs>(now - ticked_, 0);
  silence_ += std::min(gap, tunables_.max_tick_ns);
  ticked_ = std::max(ticked_, now);
}

void Detector::hear() {
  silence_ = 0;
  is_unanswered_ = false;
}

bool Detector::silent_too_long() const {
  if (is_unanswered_ && silence_ - unanswered_at_ >= tunables_.suspect_after_ns) return true;
  return silence_ >= tunables_.idle_silence_ns;
}

}  // namespace ringwire::ring
