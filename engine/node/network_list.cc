#include "engine/node/network_list.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "base/endpoint_text.h"

namespace ringwire::node {
namespace {

/// An IPv4 address stands in the last 32 of 128 bits (base/endpoint.h).
constexpr std::uint32_t kMappedBits = 96;

bool shares_prefix(const Endpoint& one, const Endpoint& other, std::uint32_t bits) {
  const std::uint32_t whole_bytes = bits / 8;
  if (!std::equal(one.address.begin(), one.address.begin() + whole_bytes, other.address.begin()))
    return false;
  const std::uint32_t rest = bits % 8;
  if (rest == 0) return true;
  const int difference = one.address[whole_bytes] ^ other.address[whole_bytes];
  return difference >> (8 - rest) == 0;
}

}  // namespace

NetworkList::NetworkList(std::span<const std::string> texts) {
  for (const std::string& text : texts) {
    const std::size_t slash = text.find('/');
    const auto address = parse_address(std::string_view(text).substr(0, slash));
    RW_CHECK(address.has_value());
    Network network{*address, 128};
    if (slash != std::string::npos) {
      std::uint32_t bits = 0;
      std::from_chars(text.data() + slash + 1, text.data() + text.size(), bits);
      network.prefix_bits = std::min(128U, address->is_ipv4() ? bits + kMappedBits : bits);
    }
    networks_.push_back(network);
  }
}

bool NetworkList::admits(const Endpoint& address) const {
  return networks_.empty() || std::any_of(networks_.begin(), networks_.end(), [&](const auto& one) {
           return shares_prefix(one.address, address, one.prefix_bits);
         });
}

}  // namespace ringwire::node
