#include "engine/transport/congestion.h"

#include <algorithm>

namespace ringwire::transport {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

}  // namespace

Congestion::Congestion(std::uint64_t limit_bytes, std::uint32_t packet_bytes)
    : limit_bytes_(limit_bytes),
      packet_bytes_(packet_bytes),
      floor_bytes_(std::min<std::uint64_t>(limit_bytes, kMinFlightPackets * packet_bytes)),
      window_bytes_(std::min(limit_bytes, std::max(kInitialWindowFlightBytes, floor_bytes_))) {}

void Congestion::on_acked(std::uint64_t bytes, bool window_used) {
  ++acked_packets_;
  if (!window_used) return;
  used_ = true;
  if (doubling_) window_bytes_ = std::min(window_bytes_ + bytes, limit_bytes_);
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
  used_ = false;
}

bool Congestion::end_round(std::uint64_t next_number, DurationNs minimum_rtt_ns) {
  const std::uint64_t packets = acked_packets_ + lost_packets_;
  const bool lossy =
      packets >= kMinPacketsPerRound && lost_packets_ * 100 > packets * kLossPercentTolerated;
  const bool measured = round_rtt_ns_ != kNeverNs && minimum_rtt_ns != kNeverNs;
  const DurationNs rtt_ns = round_rtt_ns_;
  const DurationNs target_ns =
      measured ? minimum_rtt_ns + std::max(kTargetQueueNs, minimum_rtt_ns / 2) : kNeverNs;
  const bool queued = measured && rtt_ns > target_ns;
  const bool used = used_;
  const bool judged = !settling_;
  settling_ = false;
  start_round(next_number);
  bool reduced = false;
  if (judged && (lossy || queued)) {
    std::int64_t percent = lossy ? kLossDecreasePercent : 100;
    if (queued)
      percent = std::min(
          percent,
          std::max(kLeastDecreasePercent, 100 - kDelayGainPercent * (rtt_ns - target_ns) / rtt_ns));
    window_bytes_ =
        std::max(window_bytes_ * static_cast<std::uint64_t>(percent) / 100, floor_bytes_);
    doubling_ = false;
    calm_rounds_ = 0;
    settling_ = true;
    reduced = true;
  } else if (used && !doubling_) {
    std::uint64_t step = kGrowPackets * packet_bytes_;
    if (++calm_rounds_ > kCalmRounds) step = std::max(step, window_bytes_ / 16);
    window_bytes_ = std::min(window_bytes_ + step, limit_bytes_);
  }
  if (measured) pace_rtt_ns_ = rtt_ns;
  return reduced;
}

// Twice the window a round trip: it smooths bursts and lets the window be what limits. Divided when
// the first bulk packet of the round asks: many a round has none.
void Congestion::set_pace() {
  pace_ns_per_mib_ =
      static_cast<std::uint64_t>(std::min(pace_rtt_ns_, kSecondNs)) * kMiB / (2 * window_bytes_);
  pace_rtt_ns_ = kNeverNs;
}

void Congestion::on_bulk_sent(TimeNs now, std::uint64_t bytes) {
  if (pace_rtt_ns_ != kNeverNs) set_pace();
  const auto cost = [this](std::uint64_t size) {
    return static_cast<DurationNs>(size * pace_ns_per_mib_ / kMiB);
  };
  pace_at_ = std::max(pace_at_, now - cost(kPaceBurstPackets * packet_bytes_)) + cost(bytes);
}

}  // namespace ringwire::transport
