// Between the engine's endpoints and the kernel's socket addresses; and what the kernel's errors
// mean for somebody who configures a port. Any thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "base/endpoint.h"
#include "engine/port/port_error.h"

namespace ringwire::port {

[[nodiscard]] sockaddr_storage to_sockaddr(const Endpoint& endpoint);
/// The family tells what it is: `storage` may hold a sockaddr_in.
[[nodiscard]] Endpoint to_endpoint(const sockaddr_in6& storage);
/// `error`: errno of a call that was to `what`.
[[nodiscard]] PortError system_error(int error, const std::string& what);

}  // namespace ringwire::port
