// The simulated world: N engines' workers, their programs and the network between them in one
// thread under virtual time, with faults drawn from a seed, and an oracle that knows of every
// message what may and may not have happened to it (docs/architecture.md, G1, G2, G3, G7). The
// workers, sessions and channels are the production objects; only the ring manager is played by
// this file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/port/sim_port.h"
#include "engine/transport/session.h"
#include "engine/worker/worker.h"
#include "ipc/extent_pool.h"
#include "ring/view.h"
#include "tests/sim/program.h"

namespace ringwire::sim {

/// What a seed may do to the world. Zero = that fault does not exist.
struct Faults {
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;
  double corrupt = 0;
  double crash_engine = 0;   ///< chance per simulated millisecond that a server's engine dies
  double hang_engine = 0;    ///< ... stops for a while, and is suspected
  double crash_program = 0;  ///< ... that a server program dies with what it holds
  double stop_program = 0;   ///< ... that a server program is stopped for up to 300 ms
  double retry = 0;          ///< chance per delivery that the program hands it back
  double lose_session = 0;   ///< ... that all sessions between two nodes are made anew
};

struct WorldOptions {
  std::uint64_t seed = 1;
  std::uint32_t servers = 3;
  std::uint32_t clients = 1;  ///< slave nodes with one client program each
  std::uint32_t secondaries = 1;
  std::uint32_t messages = 300;  ///< per client
  std::uint32_t keys = 12;
  std::uint32_t consumers = 2;  ///< server programs per server node
  std::uint64_t large_bytes = 300'000;
  double large_chance = 0.05;
  double call_chance = 0.2;
  bool local_clients = false;  ///< client programs attach to server node 0, which is spared
  double broadcast_chance = 0.0;
  double accepted_chance = 0.0;  ///< level accepted instead of processed
  double none_chance = 0.0;      ///< level none
  double deadline_chance = 0.0;  ///< a deadline of 1 to 60 ms
  double cancel_chance = 0.0;    ///< cancelled right after it was submitted
  Faults faults;
  bool trace = false;
};

/// All faults of a seed: which exist and how fierce they are.
[[nodiscard]] WorldOptions draw_options(std::uint64_t seed);

struct Verdict {
  std::vector<std::string> violations;
  std::uint64_t trace_hash = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t unknown = 0;
  std::uint64_t delivered = 0;
  std::uint64_t redelivered = 0;
  TimeNs ended_at_ns = 0;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  /// Run until every message ended and all is quiet, or the limit of virtual time is reached (which
  /// is a violation: no progress).
  Verdict run();

 private:
  struct Node;
  struct Client;
  struct Server;
  struct Sent;

  void start_node(std::uint32_t index);
  void connect(std::uint32_t left, std::uint32_t right);
  void stop_node(std::uint32_t index);
  void pump_notices(Node& node);
  void start_server(Node& node);
  void stop_server(Node& node, std::size_t at);
  void step_client(Client& client);
  void step_server(Node& node, Server& server);
  void inject_faults();
  void tell_states(std::uint32_t about, worker::PeerState state);
  void violation(const std::string& text);
  void note(std::uint64_t value);
  void trace(const char* format, ...) __attribute__((format(printf, 2, 3)));
  [[nodiscard]] bool finished() const;
  void check_end();

  WorldOptions options_;
  Random random_;
  TimeNs now_ = 1'000'000'000;
  port::SimNetwork network_;
  std::shared_ptr<const ring::View> view_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Client>> clients_;
  Verdict verdict_;
  TimeNs next_fault_ns_ = 0;
  bool faults_on_ = true;
};

}  // namespace ringwire::sim
