// The simulated world: engines, the programs at them and the network between them in one thread
// under virtual time, with faults that come at their times, and an oracle that knows of every
// message what may and may not have happened to it (docs/simulation.md). Workers, sessions,
// channels, control connections and detectors are the production objects. It goes from event to
// event: time in which nothing happens costs nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/port/sim_port.h"
#include "tests/sim/control_net.h"
#include "tests/sim/node.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"

namespace ringwire::sim {

class Program;

struct Verdict {
  std::vector<std::string> violations;
  std::uint64_t trace_hash = 0;
  Totals totals;
  TimeNs ended_at_ns = 0;
  std::uint64_t turns = 0;
  std::uint64_t packets = 0;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Run until every message ended and all is quiet, or no progress is made (a violation).
  Verdict run();
  /// Let so much virtual time pass, whatever happens: for figures.
  Verdict run_for(DurationNs duration_ns);

 private:
  struct Pending {
    TimeNs at = 0;
    FaultKind kind{};  ///< whose end this is
    std::uint32_t node = 0;
  };
  struct ActiveFault {
    FaultEvent event;
    TimeNs until = 0;
  };

  void step();
  [[nodiscard]] TimeNs next_ns() const;
  void run_programs();
  void deliver_control();
  [[nodiscard]] bool all_ended() const;
  void sample();
  void check_snapshot(std::uint32_t node, const worker::WorkerSnapshot& snapshot);
  void check_repeats();
  [[nodiscard]] std::uint64_t memory_bound() const;
  void settle_down();
  [[nodiscard]] std::string unsettled() const;
  void check_holds();
  void check_idle();
  [[nodiscard]] Verdict verdict() const;

  // world_faults.cc
  void begin_faults();
  void do_faults();
  void begin(const FaultEvent& event);
  void end_fault(const Pending& pending);
  void heal();
  void watch_drains();
  void set_paths();
  [[nodiscard]] port::SimPath path_between(std::uint32_t from, std::uint32_t to) const;
  [[nodiscard]] Program* some_server(std::uint32_t node);
  void start_engine(std::uint32_t node);

  WorldOptions options_;
  Oracle oracle_;
  port::SimNetwork network_;
  ControlNet control_;
  Stage stage_;
  std::vector<std::unique_ptr<Program>> programs_;
  std::vector<Program*> clients_;
  TimeNs start_;
  TimeNs sample_at_;
  bool sampling_ = false;
  std::uint64_t sampled_ = 0;  ///< what had happened at the last sample
  std::uint64_t idle_steps_ = 0;

  std::vector<FaultEvent> faults_;  ///< by time
  std::size_t next_fault_ = 0;
  std::vector<Pending> pending_;
  std::vector<ActiveFault> active_;
  std::vector<TimeNs> drain_until_;
  std::vector<DurationNs> drain_pause_;
};

}  // namespace ringwire::sim
