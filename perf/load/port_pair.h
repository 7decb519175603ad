// The ports of a run: a net_memif pair through shared memory, or UDP sockets on loopback. Each side
// opens its own. Cold.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/port/dpdk_eal.h"
#include "engine/port/port.h"
#include "perf/load/meeting.h"

namespace ringwire::load {

struct PortOptions {
  bool is_memif = false;
  std::string folder;            ///< for sockets and DPDK's run-time files
  std::vector<std::string> eal;  ///< EAL arguments beside those that make the pair
  int core = 0;
};

class OpenPort {
 public:
  /// Both sides call it at once. Gives up on failure, with what DPDK or the kernel said.
  OpenPort(Meeting& meeting, const PortOptions& options);

  [[nodiscard]] port::Port& port() { return *port_; }
  [[nodiscard]] const Endpoint& remote() const { return remote_; }
  [[nodiscard]] const std::string& device() const { return device_; }

 private:
  void open_memif(Meeting& meeting, const PortOptions& options);
  void open_socket(Meeting& meeting);

  std::unique_ptr<port::DpdkEal> eal_;
  std::unique_ptr<port::Port> port_;
  Endpoint remote_;
  std::string device_;
};

}  // namespace ringwire::load
