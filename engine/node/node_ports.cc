#include "engine/node/node_ports.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/endpoint_text.h"
#include "engine/node/clock.h"
#include "engine/node/start_error.h"
#include "engine/port/dpdk_port.h"
#include "engine/port/fault_port.h"
#include "engine/port/socket_port.h"

namespace ringwire::node {
namespace {

Endpoint endpoint_of(const sockaddr& address) {
  Endpoint endpoint;
  if (address.sa_family == AF_INET) {
    std::array<std::uint8_t, 4> octets{};
    std::memcpy(octets.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    return endpoint_of_ipv4(octets, 0);
  }
  std::memcpy(endpoint.address.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr,
              16);
  return endpoint;
}

/// The first address of an interface, IPv4 before IPv6; link-local ones need a zone and are left
/// out.
std::optional<Endpoint> interface_address(const std::string& name) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return std::nullopt;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::optional<Endpoint> found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || name != entry->ifa_name) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family == AF_INET) return endpoint_of(*entry->ifa_addr);
    if (family != AF_INET6 || found) continue;
    const Endpoint address = endpoint_of(*entry->ifa_addr);
    if (address.address[0] != 0xfe || (address.address[1] & 0xc0) != 0x80) found = address;
  }
  return found;
}

/// Transmit buffers, and one coalesced packet (64 KiB) for each place of a receive burst.
std::uint64_t port_bytes(std::uint32_t payload_bytes) {
  return std::uint64_t{port::SocketPortOptions{}.tx_buffers_count} * payload_bytes +
         std::uint64_t{port::kBurstPackets} * 65'536;
}

std::unique_ptr<port::Port> with_fault(const Config& config, std::unique_ptr<port::Port> port,
                                       std::uint32_t worker) {
  if (!config.port.has_fault) return port;
  port::FaultOptions fault = config.port.fault;
  fault.seed += worker;
  return std::make_unique<port::FaultPort>(std::move(port), fault);
}

std::unique_ptr<port::Port> open_socket_port(const Config& config, const Endpoint& bind,
                                             std::uint32_t worker) {
  port::SocketPortOptions options;
  options.bind = bind;
  options.wall_clock = wall_clock_ns;
  if (config.port.mtu != 0) options.mtu_bytes = config.port.mtu;
  if (config.port.receive_buffer_bytes != 0)
    options.receive_buffer_bytes = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(config.port.receive_buffer_bytes, UINT32_MAX / 2));
  auto opened = port::SocketPort::open(options);
  if (!opened.ok()) {
    if (opened.error().code == port::PortErrorCode::kAddressNotAvailable)
      throw ConfigRefused("[[port]] address: " + endpoint_text(bind) + ": " + opened.error().text);
    const bool in_use = opened.error().code == port::PortErrorCode::kAddressInUse;
    throw StartError("data port " + endpoint_text(bind) + ": " + opened.error().text +
                     (in_use ? ": set another [[port]] udp_base" : ""));
  }
  return with_fault(config, std::move(opened).value(), worker);
}

void open_socket_ports(const Config& config, NodePorts& all) {
  Endpoint bind = find_address(config.port.address, config.node.control.host);
  for (std::uint32_t worker = 0; worker < config.node.workers; ++worker) {
    bind.port = config.port.udp_base == 0
                    ? std::uint16_t{0}
                    : static_cast<std::uint16_t>(config.port.udp_base + worker);
    all.ports.push_back(open_socket_port(config, bind, worker));
    all.memory_bytes += port_bytes(all.ports.back()->max_payload_bytes());
  }
  all.cores.assign(config.node.cores.begin(), config.node.cores.end());
}

[[noreturn]] void refuse_dpdk(const port::PortError& error) {
  // DPDK's own messages stand above on standard error.
  if (error.code == port::PortErrorCode::kBadOptions) throw ConfigRefused(error.text);
  throw StartError(error.text);
}

/// IPv6 and UDP.
constexpr std::uint32_t kMostHeadersBytes = 48;
/// Where there is a gateway, the link's network is as large as most are.
constexpr std::uint32_t kIpv4PrefixBits = 24;
constexpr std::uint32_t kIpv6PrefixBits = 64;

port::DpdkPortOptions dpdk_options(const Config& config) {
  port::DpdkPortOptions options;
  options.device = config.port.device;
  options.local = find_address(config.port.address, config.node.control.host);
  options.local.port = config.port.udp_base;
  options.queues_count = config.node.workers;
  options.vlan = static_cast<std::uint16_t>(config.port.vlan);
  options.watches_link = true;
  if (const auto gateway = parse_address(config.port.gateway)) {
    options.gateway = gateway->address;
    options.prefix_bits = options.local.is_ipv4() ? kIpv4PrefixBits : kIpv6PrefixBits;
  }
  if (config.port.mtu != 0) options.mtu_bytes = config.port.mtu;
  return options;
}

/// The only one there is, if no name was given.
std::string only_device(const port::DpdkEal& eal) {
  const std::vector<std::string> devices = eal.devices();
  if (devices.size() == 1) return devices.front();
  std::string names;
  for (const std::string& device : devices) names.append(names.empty() ? "" : ", ").append(device);
  throw ConfigRefused("[[port]] device: " + (names.empty()
                                                 ? eal.no_device({}).text
                                                 : "DPDK has several, name one of " + names));
}

/// Where workers run: the processors of DPDK's lcores and [node] cores must say the same.
std::vector<int> cores_of(const Config& config, const port::DpdkEal& eal) {
  std::vector<int> cores(config.node.cores.begin(), config.node.cores.end());
  const std::vector<int>& lcores = eal.lcore_cpus();
  if (lcores.empty()) return cores;
  if (lcores.size() != config.node.workers)
    throw ConfigRefused("[node] workers = " + std::to_string(config.node.workers) +
                        ", but the EAL arguments name " + std::to_string(lcores.size()) +
                        " lcores (-l, --lcores, -c): one for each worker");
  if (!cores.empty() && cores != lcores)
    throw ConfigRefused(
        "[node] cores names other processors than the EAL arguments' lcores: "
        "leave [node] cores out");
  return lcores;
}

void open_dpdk_ports(const Config& config, NodePorts& all) {
  auto eal = port::DpdkEal::start(config.dpdk.eal);
  if (!eal.ok()) refuse_dpdk(eal.error());
  all.eal = std::move(eal).value();
  all.cores = cores_of(config, *all.eal);
  port::DpdkPortOptions options = dpdk_options(config);
  if (options.device.empty()) options.device = only_device(*all.eal);
  const std::vector<std::string> devices = all.eal->devices();
  if (std::find(devices.begin(), devices.end(), options.device) == devices.end())
    refuse_dpdk(all.eal->no_device(options.device));
  auto opened = port::DpdkPort::open_all(options);
  if (!opened.ok()) refuse_dpdk(opened.error());
  for (auto& port : opened.value()) {
    const auto worker = static_cast<std::uint32_t>(all.ports.size());
    options.mtu_bytes = port->max_payload_bytes() + kMostHeadersBytes;
    all.memory_bytes += port::DpdkPort::memory_bytes(options);
    all.ports.push_back(with_fault(config, std::move(port), worker));
  }
}

}  // namespace

Endpoint find_address(const std::string& text, const std::string& control_host) {
  if (text.empty() || text == "auto") {
    if (const auto control = parse_address(control_host)) return *control;
    return control_host == "localhost" ? endpoint_of_ipv4({127, 0, 0, 1}, 0)
                                       : endpoint_of_ipv4({}, 0);
  }
  if (const auto address = parse_address(text)) return *address;
  if (const auto address = interface_address(text)) return *address;
  throw StartError("[[port]] address = " + text +
                   " is neither an address nor an interface with one: see `ip address`");
}

std::uint64_t wanted_port_bytes(const Config& config) {
  if (uses_dpdk(config)) return port::DpdkPort::memory_bytes(dpdk_options(config));
  const std::uint32_t wanted = port::kDefaultSocketPayloadBytes;
  return port_bytes(config.port.mtu == 0 ? wanted : std::min(wanted, config.port.mtu));
}

NodePorts open_ports(const Config& config) {
  NodePorts all;
  if (uses_dpdk(config))
    open_dpdk_ports(config, all);
  else
    open_socket_ports(config, all);
  for (const auto& port : all.ports) {
    Endpoint advertised = port->local();
    if (!config.port.advertise.empty()) {
      const std::uint16_t number = advertised.port;
      advertised = find_address(config.port.advertise, config.node.control.host);
      advertised.port = number;
    }
    all.advertised.push_back(advertised);
  }
  return all;
}

}  // namespace ringwire::node
