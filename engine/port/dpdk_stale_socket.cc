#include "engine/port/dpdk_stale_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringwire::port {
namespace {

constexpr std::string_view kVdev = "--vdev";

/// Behind `key` in "name,key=value,...".
std::optional<std::string_view> value_of(std::string_view device, std::string_view key) {
  while (!device.empty()) {
    const std::size_t comma = device.find(',');
    const std::string_view part = device.substr(0, comma);
    if (part.starts_with(key) && part.substr(key.size()).starts_with('='))
      return part.substr(key.size() + 1);
    device.remove_prefix(comma == std::string_view::npos ? device.size() : comma + 1);
  }
  return std::nullopt;
}

bool nobody_listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // net_memif has one kind, net_vhost the other: of the wrong kind the answer is another error.
  for (const int kind : {SOCK_SEQPACKET, SOCK_STREAM}) {
    const int probe = ::socket(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return false;
    const int result =
        ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    ::close(probe);
    if (result == 0 || (error != ECONNREFUSED && error != EPROTOTYPE)) return false;
    if (error == ECONNREFUSED) return true;
  }
  return false;
}

void remove_if_stale(std::string_view device) {
  const auto path = socket_made_by(device);
  struct stat about {};
  if (!path || ::lstat(path->c_str(), &about) != 0 || !S_ISSOCK(about.st_mode)) return;
  if (nobody_listens(*path)) ::unlink(path->c_str());
}

}  // namespace

std::optional<std::string> socket_made_by(std::string_view device) {
  std::optional<std::string_view> path;
  if (device.starts_with("net_memif")) {
    // Without socket-abstract=no the socket is no file.
    if (value_of(device, "role") != "server" || value_of(device, "socket-abstract") != "no")
      return std::nullopt;
    path = value_of(device, "socket");
  } else if (device.starts_with("net_vhost") || device.starts_with("eth_vhost")) {
    if (value_of(device, "client").value_or("0") != "0") return std::nullopt;
    path = value_of(device, "iface");
  }
  if (!path || path->empty()) return std::nullopt;
  return std::string(*path);
}

void remove_stale_sockets(std::span<const std::string> arguments) {
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string_view argument = arguments[at];
    if (argument == kVdev && at + 1 < arguments.size())
      remove_if_stale(arguments[at + 1]);
    else if (argument.starts_with(kVdev) && argument.substr(kVdev.size()).starts_with('='))
      remove_if_stale(argument.substr(kVdev.size() + 1));
  }
}

}  // namespace ringwire::port
