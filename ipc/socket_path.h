// Where the engine of this node is to be found. Cold.
#pragma once

#include <string>

namespace ringwire::ipc {

/// `given` if it is not empty; else RINGWIRE_SOCKET; else the only *.sock in /run/ringwire, else in
/// $XDG_RUNTIME_DIR/ringwire; else the path that a developer node of this user would have.
[[nodiscard]] std::string find_socket_path(const char* given);

}  // namespace ringwire::ipc
