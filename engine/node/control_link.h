// One control connection with its TCP socket, and one address that is dialled: what control_links
// keeps of each. Plain state; control_links does everything with it. Ring manager only; cold.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/control/peer_control.h"
#include "engine/node/config_text.h"

namespace ringwire::node {

/// One address that is dialled again and again, as long as its node is not connected.
struct ControlDialler {
  ControlDialler(boost::asio::io_context& manager, HostPort where, std::string node)
      : address(std::move(where)), name(std::move(node)), timer(manager) {}

  HostPort address;
  std::string name;  ///< of the node, once known
  boost::asio::steady_timer timer;
  DurationNs retry_ns = 0;
  bool busy = false;     ///< resolving, connecting or connected
  bool is_self = false;  ///< this very engine answers there: never again
  std::string refusal;   ///< the last one logged, so that each is logged once
};

struct ControlLink : std::enable_shared_from_this<ControlLink> {
  ControlLink(std::uint64_t own_number, boost::asio::ip::tcp::socket connected,
              control::PeerControlConfig config, ControlDialler* from)
      : number(own_number),
        socket(std::move(connected)),
        control(std::move(config)),
        dialler(from) {}

  std::uint64_t number;
  boost::asio::ip::tcp::socket socket;
  control::PeerControl control;
  ControlDialler* dialler;  ///< nullptr: accepted. Diallers live as long as control_links
  Endpoint dialled;
  bool writing = false;
  bool ended = false;
  std::array<std::byte, 16'384> input;
  std::vector<std::byte> output;
};

}  // namespace ringwire::node
