// Four engines on this machine, as a person would start them: three servers and one slave, each
// with its own configuration file, state folder and socket, and a server program beside each
// server. One server can be killed and brought back. Main thread only. Cold.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/demo/child.h"

namespace ringwire::demo {

inline constexpr std::size_t kServerCount = 3;
inline constexpr std::size_t kSlaveIndex = kServerCount;

struct ClusterOptions {
  std::string engine_path;
  std::string self_path;                    ///< this program, started again as server program
  std::string run_folder;                   ///< holds everything; exists
  std::string socket_folder;                ///< exists; short, as socket paths must be
  std::vector<std::string> engine_options;  ///< each given to every engine with -o
  bool outlives = false;                    ///< keeps running when the demo ends
};

/// What an engine says of itself; -1 where it said nothing.
struct EngineLoad {
  std::int64_t part_received = -1;  ///< messages of which not all bytes are here yet
  std::int64_t unprocessed = -1;    ///< messages whole, queued or with a program, not released
  std::string state;                ///< "serving", "up", ...; "" when it did not answer
};

class Cluster {
 public:
  explicit Cluster(ClusterOptions options);
  ~Cluster();

  /// Start all engines and server programs. Returns "" or the reason why it could not.
  std::string start();
  /// Whether an engine says that it is in service.
  bool in_service(std::size_t index);
  [[nodiscard]] EngineLoad load(std::size_t index) const;
  void kill_engine(std::size_t index);
  bool restart_engine(std::size_t index);
  /// "" while every process runs that should; else which one does not, and where its log is.
  std::string missing_process();
  /// SIGTERM to all. Returns "" if every engine drained and exited 0, else which did not.
  std::string stop();
  /// Let it go on without us.
  void release();

  [[nodiscard]] std::string name(std::size_t index) const;
  [[nodiscard]] std::string socket(std::size_t index) const;
  [[nodiscard]] std::string saved_folder(std::size_t index) const;
  [[nodiscard]] std::string log(std::size_t index) const;
  [[nodiscard]] std::vector<pid_t> pids() const;

 private:
  struct Node {
    Child engine;
    Child saver;
    std::uint16_t control_port = 0;
    std::uint16_t data_port = 0;
    bool killed = false;
  };

  bool find_ports();
  [[nodiscard]] std::string configuration(std::size_t index) const;
  bool write_configuration(std::size_t index) const;
  bool start_engine(std::size_t index);
  bool start_saver(std::size_t index);

  ClusterOptions options_;
  std::vector<Node> nodes_;
};

}  // namespace ringwire::demo
