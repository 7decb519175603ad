// The admin door's answers as commands of DPDK's telemetry socket, each number under its path:
// "/ringwire/status" has "workers/0/busy_permille". Only where DPDK runs. Made and destroyed with
// the engine; answers come from the ring manager, asked by DPDK's telemetry thread. Cold.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "engine/node/admin.h"

namespace ringwire::node {

class Telemetry {
 public:
  Telemetry(boost::asio::io_context& manager, Admin& admin);
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

 private:
  struct Door;
  std::shared_ptr<Door> door_;
};

}  // namespace ringwire::node
