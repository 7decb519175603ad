// How many bytes may be in flight. The hard limit is what the peer's receive queue is sure to hold;
// below it a window that opens fast, takes no notice of random loss, and gives way gently when much
// is lost within a round trip or the delay has grown a queue (docs/wire.md W-50). One thread; hot.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "engine/transport/limits.h"

namespace ringwire::transport {

class Congestion {
 public:
  Congestion(std::uint64_t limit_bytes, std::uint32_t packet_bytes);

  [[nodiscard]] std::uint64_t window_bytes() const { return window_bytes_; }
  /// True when a packet of so many bytes may follow `in_flight_bytes`.
  [[nodiscard]] bool allows(std::uint64_t in_flight_bytes, std::uint64_t packet_bytes) const {
    return in_flight_bytes + packet_bytes <= window_bytes_ || in_flight_bytes == 0;
  }

  /// A packet was acknowledged. `window_used`: the window was what held the sender back.
  void on_acked(std::uint64_t bytes, bool window_used);
  void on_lost(std::uint64_t packets) { lost_packets_ += packets; }
  /// A loss was declared and proved wrong.
  void on_spurious() { lost_packets_ -= lost_packets_ > 0 ? 1 : 0; }
  void on_rtt(DurationNs sample_ns);
  /// This process was not running: forget the round.
  void on_pause();
  /// An acknowledgement was handled. When a round trip is over, judge it. True when the window was
  /// reduced.
  bool end_round(std::uint64_t largest_acked, std::uint64_t next_number, DurationNs minimum_rtt_ns);

 private:
  void start_round(std::uint64_t next_number);

  std::uint64_t limit_bytes_;
  std::uint64_t floor_bytes_;
  std::uint64_t window_bytes_;
  std::uint64_t threshold_bytes_;  ///< below: doubling per round; above: a sixteenth per round
  std::uint64_t round_end_ = 0;    ///< the round is over when this packet number is acknowledged
  std::uint64_t acked_packets_ = 0;
  std::uint64_t lost_packets_ = 0;
  DurationNs round_rtt_ns_ = kNeverNs;
  bool grown_ = false;
};

}  // namespace ringwire::transport
