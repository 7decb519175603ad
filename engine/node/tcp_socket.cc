#include "engine/node/tcp_socket.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/endpoint_text.h"

namespace ringwire::node {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr int kUserTimeoutMs = 10'000;
constexpr int kKeepIdleSeconds = 5;
constexpr int kKeepIntervalSeconds = 2;
constexpr int kKeepCount = 3;

}  // namespace

Endpoint endpoint_of(const tcp::endpoint& from) {
  Endpoint endpoint;
  if (from.address().is_v4()) {
    endpoint = endpoint_of_ipv4(from.address().to_v4().to_bytes(), from.port());
  } else {
    endpoint.address = from.address().to_v6().to_bytes();
    endpoint.port = from.port();
  }
  return endpoint;
}

bool has_address(const Endpoint& endpoint) {
  Endpoint any;
  any.port = endpoint.port;
  return endpoint != any && endpoint != endpoint_of_ipv4({}, endpoint.port);
}

void tune(tcp::socket& socket) {
  const auto set = [&](int level, int name, int value) {
    ::setsockopt(socket.native_handle(), level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdleSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepIntervalSeconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, kKeepCount);
}

DurationNs round_trip_ns(boost::asio::ip::tcp::socket& socket) {
  tcp_info info{};
  socklen_t bytes = sizeof info;
  if (getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0) return 0;
  return static_cast<DurationNs>(info.tcpi_rtt) * kMicrosecondNs;
}

control::CloseKind close_kind_of(const error_code& error) {
  const bool ended = error == asio::error::eof || error == asio::error::connection_reset ||
                     error == asio::error::broken_pipe;
  return ended ? control::CloseKind::kFinOrReset : control::CloseKind::kTimeout;
}

}  // namespace ringwire::node
