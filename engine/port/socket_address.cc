#include "engine/port/socket_address.h"

#include <array>
#include <cerrno>
#include <cstring>

#include "base/endpoint_text.h"

namespace ringwire::port {

sockaddr_storage to_sockaddr(const Endpoint& endpoint) {
  sockaddr_storage storage{};
  if (endpoint.is_ipv4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.address.data() + 12, 4);
    std::memcpy(&storage, &address, sizeof address);
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(endpoint.port);
    std::memcpy(&address.sin6_addr, endpoint.address.data(), 16);
    std::memcpy(&storage, &address, sizeof address);
  }
  return storage;
}

Endpoint to_endpoint(const sockaddr_in6& storage) {
  Endpoint endpoint;
  if (storage.sin6_family == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, &storage, sizeof address);
    std::array<std::uint8_t, 4> octets{};
    std::memcpy(octets.data(), &address.sin_addr, 4);
    return endpoint_of_ipv4(octets, ntohs(address.sin_port));
  }
  std::memcpy(endpoint.address.data(), &storage.sin6_addr, 16);
  endpoint.port = ntohs(storage.sin6_port);
  return endpoint;
}

PortError system_error(int error, const std::string& what) {
  PortErrorCode code = PortErrorCode::kSystem;
  std::string hint;
  switch (error) {
    case EADDRINUSE:
      code = PortErrorCode::kAddressInUse;
      hint = "; another process receives there, choose another UDP port";
      break;
    case EADDRNOTAVAIL:
      code = PortErrorCode::kAddressNotAvailable;
      hint = "; the address must be one of this machine's";
      break;
    case EACCES:
    case EPERM:
      code = PortErrorCode::kPermission;
      hint = "; UDP ports below 1024 need a privilege";
      break;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      code = PortErrorCode::kUnsupported;
      hint = "; the kernel has no such address family";
      break;
    default:
      break;
  }
  return {code, error, "cannot " + what + ": " + std::strerror(error) + hint};
}

}  // namespace ringwire::port
