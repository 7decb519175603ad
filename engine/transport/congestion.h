// How many bytes may be in flight, and how fast they may leave. The hard limit is what the peer's
// receive queue is sure to hold; below it a window that doubles until the path pushes back, then
// grows by steps, and gives way in proportion when the path's delay says that a queue stands in it
// (in the manner of Swift, Kumar et al., SIGCOMM 2020), or when more is lost within a round trip
// than random loss explains (docs/wire.md W-50). Delays count without the time that packets lay in
// the hosts' own receive queues: a descheduled process is not a congested network. One thread; hot.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "engine/transport/limits.h"

namespace ringwire::transport {

class Congestion {
 public:
  Congestion(std::uint64_t limit_bytes, std::uint32_t packet_bytes);

  [[nodiscard]] std::uint64_t window_bytes() const { return window_bytes_; }

  /// A packet was acknowledged. `window_used`: the window was what held the sender back.
  void on_acked(std::uint64_t bytes, bool window_used);
  void on_lost(std::uint64_t packets) { lost_packets_ += packets; }
  /// A loss was declared and proved wrong.
  void on_spurious() { lost_packets_ -= lost_packets_ > 0 ? 1 : 0; }
  /// A sample of the path's own delay.
  void on_rtt(DurationNs sample_ns);
  /// This process was not running: forget the round.
  void on_pause();
  /// A round trip is over: judge it. True when the window was reduced.
  bool end_round(std::uint64_t next_number, DurationNs minimum_rtt_ns);
  /// The round is over when this packet number is acknowledged.
  [[nodiscard]] std::uint64_t round_end() const { return round_end_; }

  // --- pacing of bulk packets ---
  /// Not before this time should the next one leave.
  [[nodiscard]] TimeNs pace_at() const { return pace_at_; }
  void on_bulk_sent(TimeNs now, std::uint64_t bytes);

 private:
  void start_round(std::uint64_t next_number);
  void set_pace();

  std::uint64_t limit_bytes_;
  std::uint64_t packet_bytes_;
  std::uint64_t floor_bytes_;
  std::uint64_t window_bytes_;
  std::uint64_t round_end_ = 0;
  std::uint64_t acked_packets_ = 0;
  std::uint64_t lost_packets_ = 0;
  std::uint64_t pace_ns_per_mib_ = 0;  ///< 0: not known yet, no pacing
  DurationNs pace_rtt_ns_ = kNeverNs;  ///< of the last round, not yet turned into a pace
  TimeNs pace_at_ = 0;
  DurationNs round_rtt_ns_ = kNeverNs;
  unsigned calm_rounds_ = 0;  ///< in a row without a reason to shrink
  bool doubling_ = true;
  bool used_ = false;      ///< in this round the window held the sender back
  bool settling_ = false;  ///< this round's packets left before the last decrease
};

}  // namespace ringwire::transport
