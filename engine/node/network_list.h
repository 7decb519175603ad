// The networks that may dial the control address ([allow] addresses). Pure; cold.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/endpoint.h"

namespace ringwire::node {

class NetworkList {
 public:
  /// Of texts like "10.0.0.0/8", "2001:db8::/32", "192.0.2.1"; the configuration has checked them.
  explicit NetworkList(std::span<const std::string> texts);

  /// True for an address of one of the networks, and for every address when there are none.
  [[nodiscard]] bool admits(const Endpoint& address) const;

 private:
  struct Network {
    Endpoint address;
    std::uint32_t prefix_bits = 128;  ///< of the 16 bytes of Endpoint::address
  };
  std::vector<Network> networks_;
};

}  // namespace ringwire::node
