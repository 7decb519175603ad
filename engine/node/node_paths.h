// Where a node keeps its socket and its state when nothing is configured. Cold; reads the
// environment and the user id.
#pragma once

#include <string>

namespace ringwire::node {

/// The folder of the sockets: /run/ringwire for root, $XDG_RUNTIME_DIR/ringwire for a user
/// (/tmp/ringwire-UID where that is not set).
[[nodiscard]] std::string default_socket_folder();
/// default_socket_folder()/NODE.sock.
[[nodiscard]] std::string default_socket_path(const std::string& node_name);
/// /var/lib/ringwire/NODE for root; $XDG_STATE_HOME/ringwire/NODE, else
/// $HOME/.local/state/ringwire/NODE for a user.
[[nodiscard]] std::string default_state_path(const std::string& node_name);

/// False for a folder that another user made beforehand and would own what is put into it. One
/// that is not there yet is safe: it will be made.
[[nodiscard]] bool is_safe_folder(const std::string& path);

}  // namespace ringwire::node
