#include "ipc/socket_path.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace ringwire::ipc {
namespace {

constexpr const char* kServiceFolder = "/run/ringwire";
constexpr const char* kUserFolderPrefix = "/tmp/ringwire-";
constexpr const char* kDeveloperSocket = "/local.sock";

// The only socket there; empty when there is none or a choice.
std::string only_socket_in(const std::string& folder) {
  DIR* listing = opendir(folder.c_str());
  if (listing == nullptr) return {};
  std::string found;
  int count = 0;
  while (const dirent* entry = readdir(listing)) {
    if (!std::string_view(entry->d_name).ends_with(".sock")) continue;
    found = folder + "/" + entry->d_name;
    ++count;
  }
  closedir(listing);
  return count == 1 ? found : std::string{};
}

}  // namespace

std::string find_socket_path(const char* given) {
  if (given != nullptr && given[0] != '\0') return given;
  const char* named = std::getenv("RINGWIRE_SOCKET");
  if (named != nullptr && named[0] != '\0') return named;
  std::string path = only_socket_in(kServiceFolder);
  if (!path.empty()) return path;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::string folder;
  if (runtime != nullptr && runtime[0] != '\0') {
    folder = std::string(runtime) + "/ringwire";
  } else {
    // Where an engine of this user puts it without a session; a folder of somebody else is no place
    // to look for an engine.
    folder = kUserFolderPrefix + std::to_string(geteuid());
    struct stat status {};
    if (lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
        status.st_uid != geteuid())
      return std::string(kServiceFolder) + kDeveloperSocket;
  }
  path = only_socket_in(folder);
  return path.empty() ? folder + kDeveloperSocket : path;
}

}  // namespace ringwire::ipc
