// The data ports of an engine: one per worker, from the [[port]] section. Cold, at start only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/node/config.h"
#include "engine/port/dpdk_eal.h"
#include "engine/port/port.h"

namespace ringwire::node {

struct NodePorts {
  std::unique_ptr<port::DpdkEal> eal;  ///< first: goes when all ports are gone
  std::vector<std::unique_ptr<port::Port>> ports;
  std::vector<Endpoint> advertised;  ///< one per worker; address 0: the one peers reach us at
  std::uint64_t memory_bytes = 0;    ///< that the ports allocated
  std::vector<int> cores;            ///< one per worker, -1 = any; empty: any
};

/// What the port of one worker takes, if it gets the packets that it asks for.
[[nodiscard]] std::uint64_t wanted_port_bytes(const Config& config);

/// Open one port per worker; for DPDK devices, start DPDK first. Errors: StartError.
[[nodiscard]] NodePorts open_ports(const Config& config);

/// An address from an address, an interface name, or "auto" (then `control_host` if that is a
/// numeric address, else any). Port 0. Errors: StartError.
[[nodiscard]] Endpoint find_address(const std::string& text, const std::string& control_host);

}  // namespace ringwire::node
