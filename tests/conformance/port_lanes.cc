// The lanes that need nothing but this process and, for some, loopback sockets.
#include <memory>
#include <utility>

#include "base/endpoint_text.h"
#include "engine/port/fault_port.h"
#include "engine/port/sim_port.h"
#include "engine/port/socket_port.h"
#include "tests/conformance/port_suite.h"

namespace ringwire::port::conformance {
namespace {

enum class Family { kIpv4, kIpv6 };

struct SocketPair {
  std::unique_ptr<SocketPort> a;
  std::unique_ptr<SocketPort> b;
  std::string reason;
};

SocketPair socket_pair(Family family, Offload offload) {
  SocketPortOptions options;
  options.bind = *parse_endpoint(family == Family::kIpv4 ? "127.0.0.1:0" : "[::1]:0");
  options.tx_buffers_count = kTxBuffers;
  options.destinations_count = kDestinations;
  options.receive_buffer_bytes = kReceiveBufferBytes;
  options.offload = offload;
  SocketPair pair;
  for (std::unique_ptr<SocketPort>* side : {&pair.a, &pair.b}) {
    auto opened = SocketPort::open(options);
    if (!opened.ok()) {
      pair.reason = opened.error().text;
      return pair;
    }
    *side = std::move(opened).value();
  }
  return pair;
}

LaneMaker socket_lane(std::string name, Family family, Offload offload) {
  return {std::move(name), [family, offload]() -> LaneOrReason {
            SocketPair pair = socket_pair(family, offload);
            if (!pair.reason.empty()) return {nullptr, pair.reason};
            return {std::make_unique<OwningLane<SocketPort>>(std::move(pair.a), std::move(pair.b),
                                                             nullptr),
                    ""};
          }};
}

/// A network and two ports on it, each behind `wrap`.
class SimLane final : public Lane {
 public:
  using Wrap = std::function<std::unique_ptr<Port>(std::unique_ptr<Port>)>;

  explicit SimLane(const Wrap& wrap) : network_(SimOptions{}) {
    a_ = wrap(make("10.0.0.1:3200"));
    b_ = wrap(make("10.0.0.2:3200"));
  }
  Port& a() override { return *a_; }
  Port& b() override { return *b_; }
  void step() override { network_.advance(network_.now_ns() + kMillisecondNs); }

 private:
  std::unique_ptr<Port> make(const char* local) {
    SimPortOptions options;
    options.local = *parse_endpoint(local);
    options.receive_queue_bytes = kReceiveBufferBytes;
    options.tx_buffers_count = kTxBuffers;
    options.destinations_count = kDestinations;
    return network_.make_port(options);
  }

  SimNetwork network_;
  std::unique_ptr<Port> a_;
  std::unique_ptr<Port> b_;
};

std::unique_ptr<Port> unwrapped(std::unique_ptr<Port> port) { return port; }

std::unique_ptr<Port> without_faults(std::unique_ptr<Port> port) {
  return std::make_unique<FaultPort>(std::move(port), FaultOptions{});
}

LaneMaker sim_lane(std::string name, SimLane::Wrap wrap) {
  return {std::move(name), [wrap]() -> LaneOrReason {
            return {std::make_unique<SimLane>(wrap), ""};
          }};
}

LaneMaker fault_socket_lane() {
  return {"fault_over_ipv4", []() -> LaneOrReason {
            SocketPair pair = socket_pair(Family::kIpv4, Offload::kAuto);
            if (!pair.reason.empty()) return {nullptr, pair.reason};
            return {std::make_unique<OwningLane<Port>>(without_faults(std::move(pair.a)),
                                                       without_faults(std::move(pair.b)), nullptr),
                    ""};
          }};
}

std::string name_of(const testing::TestParamInfo<LaneMaker>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Lanes, PortConformance,
    testing::Values(sim_lane("sim", unwrapped), sim_lane("fault_over_sim", without_faults),
                    fault_socket_lane(), socket_lane("ipv4", Family::kIpv4, Offload::kAuto),
                    socket_lane("ipv6", Family::kIpv6, Offload::kAuto),
                    socket_lane("ipv4_without_offload", Family::kIpv4, Offload::kOff)),
    name_of);

}  // namespace
}  // namespace ringwire::port::conformance
