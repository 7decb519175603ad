// What sessions make of a network path, measured in virtual time: goodput under loss, an incast,
// small messages beside a large one, hosts that are not always running. The sessions are the
// production objects; nothing here depends on the machine, so that tests can hold the figures.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace ringwire::sim {

/// One session from one host to another over 10 Gbit/s and 100 us of round trip.
struct PathOptions {
  double loss = 0;
  double duplicate = 0;
  DurationNs run_ns = 1 * kMillisecondNs;  ///< the receiver runs so long ...
  DurationNs pause_ns = 0;                 ///< ... and stands still so long, in turn
  DurationNs duration_ns = 300 * kMillisecondNs;
};

/// Payload bytes per second that arrived whole, 1 MB messages, eight at a time.
[[nodiscard]] double goodput(const PathOptions& options);

struct Incast {
  double link_share = 0;   ///< payload that arrived, of what the link could carry
  double least_share = 0;  ///< of the slowest sender, of its fair share
};
/// `senders` hosts send 1 MB messages, two at a time, to one host behind one 10 Gbit/s link.
[[nodiscard]] Incast incast(std::uint32_t senders, std::uint64_t queue_bytes);

/// The longest time from send() to arrival of 64 B messages sent every 500 us beside 1 GiB.
[[nodiscard]] DurationNs slowest_small_beside_large();

/// Whether all of 100 messages of up to 300 KB arrive within 60 s.
[[nodiscard]] bool everything_arrives(double loss, double duplicate);

/// Print all figures. Returns false when one misses what is asked of it.
bool print_path_figures();

}  // namespace ringwire::sim
