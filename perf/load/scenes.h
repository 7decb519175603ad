// What is measured: one scene after the other, each run by both sides at once. The engine's scenes
// go through a worker and a program's queues on one thread; those of the layers below show where
// the time goes; floors are the least that the same pair of devices can do the work in.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "perf/load/load_node.h"
#include "perf/load/meeting.h"

namespace ringwire::load {

struct Stage {
  Meeting& meeting;
  LoadNode& node;
  port::Port& port;
  Endpoint remote;
  std::string device;  ///< DPDK's name; empty: a socket port
  DurationNs scene_ns = 0;
};

/// Names end in a unit. Only side A's count; B's go through the meeting.
using Figures = std::map<std::string, double>;

struct Scene {
  const char* name;
  const char* title;
  Figures (*run)(Stage& stage);
  const char* figure;  ///< of the table
  const char* floor;   ///< scene that it is compared with; empty: none
};

/// The scenes over a port of this kind, floors first.
[[nodiscard]] std::vector<Scene> scenes(bool is_dpdk);

// --- for those who write scenes ---

inline constexpr std::size_t kSmallBytes = 64;
inline constexpr std::uint64_t kMegabyte = 1'000'000;

/// Round-trip times until the scene's time is over, after a fiftieth of it to warm up.
class RoundTrips {
 public:
  explicit RoundTrips(const Stage& stage);
  /// One has ended now. False when it was the last.
  bool next();
  /// Sorts what it counted: the last thing to ask for.
  [[nodiscard]] Figures figures(std::uint64_t allocations);
  /// So many packets of this side's were sent for one, since the construction.
  [[nodiscard]] double packets_a_trip() const;

 private:
  const port::Port& port_;
  std::uint64_t packets_before_;
  std::uint64_t trips_ = 0;
  std::vector<std::uint32_t>& times_ns_;
  TimeNs count_from_ns_;
  TimeNs end_ns_;
  TimeNs last_ns_;
};

/// Arrivals in the scene's time, counted where they arrive.
class Arrivals {
 public:
  void add(TimeNs now, std::uint64_t count, std::uint64_t bytes);
  /// For A, behind the next meeting.
  void tell(Meeting& meeting) const;
  [[nodiscard]] static Figures told(Meeting& meeting);

 private:
  TimeNs first_ns_ = 0;
  TimeNs last_ns_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace ringwire::load
