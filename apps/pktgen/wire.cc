#include "apps/pktgen/wire.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <utility>

#include "engine/port/socket_port.h"

namespace ringwire::pktgen {
namespace {

WireError wire_error(const port::PortError& error) {
  return {error.text, error.code == port::PortErrorCode::kBadOptions ? 2 : 1};
}

/// To the processor of the first lcore that was named: DPDK's start left this thread where it was.
void pin(const std::vector<int>& cpus) {
  if (cpus.empty() || cpus.front() < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpus.front()), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0)
    throw WireError{"cannot run on processor " + std::to_string(cpus.front()) +
                        ", which the EAL arguments name: see `taskset -p $$`",
                    1};
}

}  // namespace

Wire::Wire(const WireOptions& options) {
  if (options.eal.empty())
    open_socket(options);
  else
    open_device(options);
}

void Wire::open_device(const WireOptions& options) {
  auto eal = port::DpdkEal::start(options.eal);
  if (!eal.ok()) throw wire_error(eal.error());
  eal_ = std::move(eal).value();
  pin(eal_->lcore_cpus());
  port::DpdkPortOptions wanted;
  wanted.device = options.device;
  const std::vector<std::string> devices = eal_->devices();
  if (wanted.device.empty() && devices.size() == 1) wanted.device = devices.front();
  if (wanted.device.empty())
    throw WireError{"which device? DPDK has " + std::to_string(devices.size()) +
                        ": name one by --device, make one by --vdev among the EAL arguments",
                    2};
  if (std::find(devices.begin(), devices.end(), wanted.device) == devices.end())
    throw wire_error(eal_->no_device(wanted.device));
  wanted.local = options.local;
  wanted.queues_count = options.queues_count;
  wanted.mtu_bytes = options.mtu_bytes;
  wanted.vlan = options.vlan;
  // Largest frame with the least header.
  wanted.payload_bytes = 9'000 - 28;
  wanted.watches_link = true;
  if (options.gateway) {
    wanted.gateway = options.gateway->address;
    wanted.prefix_bits = options.local.is_ipv4() ? 24 : 64;
  }
  auto opened = port::DpdkPort::open_all(wanted);
  if (!opened.ok()) throw wire_error(opened.error());
  for (auto& port : opened.value()) {
    dpdk_ports_.push_back(port.get());
    ports_.push_back(std::move(port));
  }
}

void Wire::open_socket(const WireOptions& options) {
  for (std::uint32_t queue = 0; queue < options.queues_count; ++queue) {
    port::SocketPortOptions wanted;
    wanted.bind = options.local;
    // Port 0: the kernel's choice for each.
    if (wanted.bind.port != 0)
      wanted.bind.port = static_cast<std::uint16_t>(options.local.port + queue);
    wanted.payload_bytes = 9'000 - 28;
    auto opened = port::SocketPort::open(wanted);
    if (!opened.ok()) throw wire_error(opened.error());
    ports_.push_back(std::move(opened).value());
  }
}

std::uint32_t Wire::link_mbits() const {
  return dpdk_ports_.empty() ? 0 : dpdk_ports_.front()->link_mbits();
}

bool Wire::find(const Endpoint& remote, std::chrono::nanoseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (port::DpdkPort* port : dpdk_ports_) {
    port::DestinationId destination{};
    if (!port->open_destination(remote, destination)) return false;
    std::array<port::RxPacket, port::kBurstPackets> ignored;
    bool found = false;
    while (!found && std::chrono::steady_clock::now() < end) {
      // All of them: what one learns it hands to the others.
      for (port::DpdkPort* other : dpdk_ports_) other->rx_burst(ignored);
      found = port->is_link_up() && port->knows(destination);
    }
    port->close_destination(destination);
    if (!found) return false;
  }
  return true;
}

}  // namespace ringwire::pktgen
