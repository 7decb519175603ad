#include "perf/load/port_pair.h"

#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "base/endpoint_text.h"
#include "engine/port/dpdk_port.h"
#include "engine/port/socket_port.h"

namespace ringwire::load {
namespace {

constexpr const char* kAddressA = "10.99.2.1:3200";
constexpr const char* kAddressB = "10.99.2.2:3200";
constexpr std::uint32_t kMtuBytes = 9'000;

}  // namespace

OpenPort::OpenPort(Meeting& meeting, const PortOptions& options) {
  if (options.is_memif)
    open_memif(meeting, options);
  else
    open_socket(meeting);
}

void OpenPort::open_memif(Meeting& meeting, const PortOptions& options) {
  const std::string own = options.folder + (meeting.is_a() ? "/a" : "/b");
  // Where DPDK keeps its run-time files, so that none is left behind.
  std::filesystem::create_directory(own);
  setenv("RUNTIME_DIRECTORY", own.c_str(), 1);
  std::vector<std::string> arguments = {"-l", std::to_string(options.core), "--no-pci",
                                        "--no-telemetry", "--log-level=error"};
  arguments.insert(arguments.end(), options.eal.begin(), options.eal.end());
  auto started = port::DpdkEal::start(arguments);
  if (!started.ok()) meeting.give_up(started.error().text.c_str());
  eal_ = std::move(started).value();
  device_ = "net_memif0";
  // The server makes the socket that the client connects to.
  if (meeting.is_a()) meeting.meet();
  const std::string role = meeting.is_a() ? "role=client" : "role=server";
  const auto added = eal_->add_device(device_, role + ",socket=" + options.folder +
                                                   "/memif,socket-abstract=no,rsize=10,bsize=9216");
  if (!added.ok()) meeting.give_up(added.error().text.c_str());
  port::DpdkPortOptions wanted;
  wanted.device = device_;
  wanted.local = *parse_endpoint(meeting.is_a() ? kAddressA : kAddressB);
  wanted.mtu_bytes = kMtuBytes;
  auto opened = port::DpdkPort::open(wanted);
  if (!opened.ok()) meeting.give_up(opened.error().text.c_str());
  if (!meeting.is_a()) meeting.meet();
  port::DpdkPort& port = *opened.value();
  remote_ = *parse_endpoint(meeting.is_a() ? kAddressB : kAddressA);
  // Asking for the link is what makes the client connect; the first frames find the neighbour.
  port::DestinationId destination{};
  port.open_destination(remote_, destination);
  std::array<port::RxPacket, port::kBurstPackets> none;
  const TimeNs deadline = Meeting::deadline();
  while (!port.is_link_up() || port.neighbour_counters().learned == 0) {
    port.rx_burst(none);
    meeting.check(deadline);
  }
  meeting.meet([&] { port.rx_burst(none); });
  port.close_destination(destination);
  port_ = std::move(opened).value();
}

void OpenPort::open_socket(Meeting& meeting) {
  port::SocketPortOptions options;
  options.bind = *parse_endpoint("127.0.0.1:0");
  auto opened = port::SocketPort::open(options);
  if (!opened.ok()) meeting.give_up(opened.error().text.c_str());
  port_ = std::move(opened).value();
  remote_ = port_->local();
  meeting.figures()[meeting.is_a() ? 0 : 1] = port_->local().port;
  meeting.meet();
  remote_.port = static_cast<std::uint16_t>(meeting.figures()[meeting.is_a() ? 1 : 0]);
  meeting.meet();
}

}  // namespace ringwire::load
