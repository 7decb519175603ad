// The lanes that need nothing but this process and, for some, loopback sockets.
#include <memory>
#include <utility>

#include "base/endpoint_text.h"
#include "engine/port/socket_port.h"
#include "port_suite.h"

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

std::string name_of(const testing::TestParamInfo<LaneMaker>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Lanes, PortConformance,
                         testing::Values(socket_lane("ipv4", Family::kIpv4, Offload::kAuto),
                                         socket_lane("ipv6", Family::kIpv6, Offload::kAuto),
                                         socket_lane("ipv4_without_offload", Family::kIpv4,
                                                     Offload::kOff)),
                         name_of);

}  // namespace
}  // namespace ringwire::port::conformance
