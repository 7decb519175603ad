#include "engine/transport/congestion.h"

#include <algorithm>

namespace ringwire::transport {

Congestion::Congestion(std::uint64_t limit_bytes, std::uint32_t packet_bytes)
    : limit_bytes_(limit_bytes),
      floor_bytes_(std::min<std::uint64_t>(limit_bytes, kMinFlightPackets * packet_bytes)),
      window_bytes_(std::min(limit_bytes, std::max(kInitialWindowFlightBytes, floor_bytes_))),
      threshold_bytes_(limit_bytes) {}

void Congestion::on_acked(std::uint64_t bytes, bool window_used) {
  ++acked_packets_;
  if (!window_used) return;
  if (window_bytes_ < threshold_bytes_) {
    window_bytes_ = std::min(window_bytes_ + bytes, limit_bytes_);
  } else if (!grown_) {
    grown_ = true;
    window_bytes_ = std::min(window_bytes_ + window_bytes_ / 16, limit_bytes_);
  }
}

void Congestion::on_rtt(DurationNs sample_ns) {
  round_rtt_ns_ = std::min(round_rtt_ns_, sample_ns);
}

void Congestion::on_pause() {
  acked_packets_ = 0;
  lost_packets_ = 0;
  round_rtt_ns_ = kNeverNs;
}

void Congestion::start_round(std::uint64_t next_number) {
  round_end_ = next_number;
  on_pause();
  grown_ = false;
}

bool Congestion::end_round(std::uint64_t largest_acked, std::uint64_t next_number,
                           DurationNs minimum_rtt_ns) {
  if (largest_acked < round_end_) return false;
  const std::uint64_t packets = acked_packets_ + lost_packets_;
  const bool lossy =
      packets >= kMinPacketsPerRound && lost_packets_ * 100 > packets * kLossPercentTolerated;
  const bool queued = round_rtt_ns_ != kNeverNs && minimum_rtt_ns != kNeverNs &&
                      round_rtt_ns_ > 3 * minimum_rtt_ns + kQueueDelayNs;
  start_round(next_number);
  if (!lossy && !queued) return false;
  window_bytes_ = std::max(window_bytes_ * kDecreasePercent / 100, floor_bytes_);
  threshold_bytes_ = window_bytes_;
  return true;
}

}  // namespace ringwire::transport
