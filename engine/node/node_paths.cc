#include "engine/node/node_paths.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace ringwire::node {
namespace {

std::string absolute_from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? value : "";
}

}  // namespace

std::string default_socket_folder() {
  if (::geteuid() == 0) return "/run/ringwire";
  const std::string runtime = absolute_from_environment("XDG_RUNTIME_DIR");
  if (!runtime.empty()) return runtime + "/ringwire";
  return std::string("/tmp/ringwire-").append(std::to_string(::geteuid()));
}

std::string default_socket_path(const std::string& node_name) {
  return default_socket_folder() + "/" + node_name + ".sock";
}

std::string default_state_path(const std::string& node_name) {
  if (::geteuid() == 0) return "/var/lib/ringwire/" + node_name;
  const std::string state = absolute_from_environment("XDG_STATE_HOME");
  if (!state.empty()) return state + "/ringwire/" + node_name;
  const std::string home = absolute_from_environment("HOME");
  if (!home.empty()) return home + "/.local/state/ringwire/" + node_name;
  return default_socket_folder() + "/state-" + node_name;
}

bool is_safe_folder(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) != 0 ||
         (S_ISDIR(status.st_mode) && (status.st_uid == ::geteuid() || status.st_uid == 0));
}

}  // namespace ringwire::node
