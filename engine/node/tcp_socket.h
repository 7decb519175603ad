// What the control links need of TCP beside Boost.Asio: our end points, the socket options, and
// what the kernel's errors say about the other process. Ring manager only; cold.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "base/endpoint.h"
#include "base/time.h"
#include "engine/control/peer_control.h"

namespace ringwire::node {

[[nodiscard]] Endpoint endpoint_of(const boost::asio::ip::tcp::endpoint& from);
/// False for 0.0.0.0 and ::, whatever the port.
[[nodiscard]] bool has_address(const Endpoint& endpoint);
/// No delay, and a silent connection ends after 10 s by the kernel's own means.
void tune(boost::asio::ip::tcp::socket& socket);
/// As the kernel measured it so far; 0 when it does not tell.
[[nodiscard]] DurationNs round_trip_ns(boost::asio::ip::tcp::socket& socket);
/// Only an end that the other side sent (FIN, RST) tells that its process is gone.
[[nodiscard]] control::CloseKind close_kind_of(const boost::system::error_code& error);

}  // namespace ringwire::node
