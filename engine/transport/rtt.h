// The round-trip time (RFC 9002 section 5), hardened against pauses of either side: one sample
// can raise the estimate only to about double, and the minimum forgets after some seconds. One
// thread; hot.
#pragma once

#include <algorithm>

#include "base/time.h"
#include "engine/transport/limits.h"

namespace ringwire::transport {

class Rtt {
 public:
  explicit Rtt(DurationNs initial_ns)
      : smoothed_ns_(std::max(initial_ns, kMicrosecondNs)), variation_ns_(smoothed_ns_ / 2) {}

  /// Take a sample. `path_ns` is it without what the hosts say that they waited; only the minimum,
  /// which says what the path takes, is made of that. Time-outs are about answers, and hosts that
  /// were not running do not answer.
  void on_sample(DurationNs sample_ns, DurationNs path_ns, TimeNs now) {
    sample_ns = std::max(sample_ns, kMicrosecondNs);
    if (now - window_start_ >= kMinRttWindowNs) {
      older_min_ns_ = newer_min_ns_;
      newer_min_ns_ = kNeverNs;
      window_start_ = now;
    }
    newer_min_ns_ = std::min(newer_min_ns_, std::max(path_ns, kMicrosecondNs));
    if (first_) {
      first_ = false;
      smoothed_ns_ = std::min(sample_ns, kSecondNs);
      variation_ns_ = smoothed_ns_ / 2;
      latest_ns_ = smoothed_ns_;
      return;
    }
    latest_ns_ = std::min(sample_ns, 2 * smoothed_ns_ + 10 * kMillisecondNs);
    const DurationNs off =
        smoothed_ns_ > latest_ns_ ? smoothed_ns_ - latest_ns_ : latest_ns_ - smoothed_ns_;
    variation_ns_ += (off - variation_ns_) / 4;
    smoothed_ns_ += (latest_ns_ - smoothed_ns_) / 8;
  }

  [[nodiscard]] DurationNs smoothed_ns() const { return smoothed_ns_; }
  [[nodiscard]] DurationNs variation_ns() const { return variation_ns_; }
  [[nodiscard]] DurationNs latest_ns() const { return std::max(latest_ns_, smoothed_ns_); }
  /// Least sample of the last one to two windows; kNeverNs before the first.
  [[nodiscard]] DurationNs minimum_ns() const { return std::min(older_min_ns_, newer_min_ns_); }

 private:
  DurationNs smoothed_ns_;
  DurationNs variation_ns_;
  DurationNs latest_ns_ = 0;
  DurationNs older_min_ns_ = kNeverNs;
  DurationNs newer_min_ns_ = kNeverNs;
  TimeNs window_start_ = 0;
  bool first_ = true;
};

}  // namespace ringwire::transport
