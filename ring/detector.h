// Is one peer alive? Evidence in, state out; pure, told the time, one thread, cold (per packet
// burst at most). It only judges: what follows from a suspicion is the caller's.
//
// Two kinds of evidence. A control connection that ended by FIN or RST means that the process is
// gone: dead, at once, until a new control connection stands (late packets of the dead process
// prove nothing). Silence means at most suspicion: the peer is hung, cut off or slow. It is
// suspected after suspect_after_ns of silence while something of ours is unanswered, or after
// idle_silence_ns when nothing is (its heartbeats are then overdue). A TCP time-out alone is not a
// death, but it is silence that the kernel has already measured: suspicion at once.
//
// Local health (the idea of Lifeguard, Dadgar et al. 2017): silence counts only while we ourselves
// were running. Each call adds at most max_tick_ns to the silence, however long ago the previous
// call was, so that an engine that was descheduled for a second does not suspect all its peers when
// it wakes. The caller must therefore call on_tick at least every max_tick_ns, and must hand in
// what was received (on_heard) before it calls on_tick.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace ringwire::ring {

struct DetectorTunables {
  DurationNs heartbeat_ns = 100 * kMillisecondNs;  ///< we send one after so long without sending
  /// 80 ms: healthy gaps on a busy two-core virtual machine reach 8 ms; ten times that leaves room
  /// for a lost probe and its repetition, and stays under the 100 ms promised for fail-over.
  DurationNs suspect_after_ns = 80 * kMillisecondNs;
  DurationNs idle_silence_ns = 400 * kMillisecondNs;  ///< four heartbeats
  DurationNs max_tick_ns = 10 * kMillisecondNs;
};

enum class Liveness : std::uint8_t {
  kUp,
  kSuspect,  ///< silent for too long: hung, cut off or slow
  kDead,     ///< no control connection: never had one, or it ended by FIN or RST
};

enum class LivenessChange : std::uint8_t { kNone, kSuspected, kDied, kBack };

enum class CloseKind : std::uint8_t { kFinOrReset, kTimeout };

class Detector {
 public:
  /// Starts as kDead: nothing was heard yet.
  explicit Detector(const DetectorTunables& tunables, TimeNs now)
      : tunables_(tunables), ticked_(now), sent_(now) {}

  [[nodiscard]] Liveness liveness() const { return liveness_; }

  /// A control connection to the peer stands: the only way out of kDead.
  LivenessChange on_control_established(TimeNs now);
  LivenessChange on_control_closed(TimeNs now, CloseKind kind);
  /// Anything authentic came from the peer, on whatever path.
  LivenessChange on_heard(TimeNs now);
  /// Something that the peer should answer is outstanding. To be repeated freely: the first call
  /// after the last sign of life counts.
  void on_unanswered(TimeNs now);
  /// We sent something to the peer, so that no heartbeat is needed for a while.
  void on_sent(TimeNs now) { sent_ = now; }
  /// Time passes. At least every max_tick_ns.
  LivenessChange on_tick(TimeNs now);

  /// True when we have sent nothing for heartbeat_ns. A suspect is sent heartbeats too: its answer
  /// is how it comes back.
  [[nodiscard]] bool heartbeat_due(TimeNs now) const {
    return liveness_ != Liveness::kDead && now - sent_ >= tunables_.heartbeat_ns;
  }
  /// When on_tick or a heartbeat is due next; kNeverNs for a dead peer.
  [[nodiscard]] TimeNs next_deadline_ns() const;

  /// Silence that counts, in ns: time that we were running since the last sign of life.
  [[nodiscard]] DurationNs silence_ns() const { return silence_; }

 private:
  void advance(TimeNs now);
  void hear();
  [[nodiscard]] bool silent_too_long() const;

  DetectorTunables tunables_;
  Liveness liveness_ = Liveness::kDead;
  TimeNs ticked_;
  TimeNs sent_;
  DurationNs silence_ = 0;
  bool is_unanswered_ = false;
  DurationNs unanswered_at_ = 0;  // value of silence_ when the first unanswered thing was reported
};

}  // namespace ringwire::ring
