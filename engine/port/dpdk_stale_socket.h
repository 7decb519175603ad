// The UNIX sockets that virtual devices make for their peers (net_memif with role=server,
// net_vhost), and that stay behind when an engine is killed: its successor would be refused by
// them. Cold, before DPDK starts.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringwire::port {

/// The path of the socket that a --vdev argument's device will make, if it makes one.
[[nodiscard]] std::optional<std::string> socket_made_by(std::string_view device);

/// Removes from the file system what is among `arguments` and is a socket that nobody listens on.
/// Anything else stays.
void remove_stale_sockets(std::span<const std::string> arguments);

}  // namespace ringwire::port
