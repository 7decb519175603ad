#include "engine/node/state_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/node/start_error.h"

namespace ringwire::node {
namespace {

/// Written beside and renamed, so that a crash leaves the old file or the new one.
void write_identity(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const auto bytes = static_cast<ssize_t>(text.size());
  if (!file || ::write(file.get(), text.data(), text.size()) != bytes || ::fsync(file.get()) != 0 ||
      ::rename(fresh.c_str(), path.c_str()) != 0)
    throw StartError("cannot write " + path + ": " + std::strerror(errno));
}

}  // namespace

StateDirectory::StateDirectory(const std::string& path, const std::string& node_name,
                               const std::string& cluster_name) {
  make_directory(path, 0700);
  lock_ = lock_file(path + "/lock");
  if (!lock_)
    throw StartError("state directory " + path +
                     " is in use by another engine: stop it, or give this node its own [node] "
                     "state directory");
  const std::string identity = path + "/identity";
  std::ifstream file(identity);
  if (!file) {
    write_identity(identity, "node " + node_name + "\ncluster " + cluster_name + "\n");
    return;
  }
  std::string node_key, node, cluster_key, cluster;
  file >> node_key >> node >> cluster_key >> cluster;
  if (!file || node_key != "node" || cluster_key != "cluster")
    throw StartError(identity + " is damaged: remove it to give this node a new identity");
  if (node != node_name || cluster != cluster_name)
    throw ConfigRefused("state directory " + path + " belongs to node " + node + " of cluster " +
                        cluster + ": give node " + node_name + " its own [node] state directory");
}

Id128 random_id() {
  Id128 id;
  if (::getrandom(&id, sizeof id, 0) != static_cast<ssize_t>(sizeof id))
    throw StartError(std::string("no random numbers from the kernel: ") + std::strerror(errno));
  return id;
}

void make_directory(const std::string& path, unsigned mode) {
  const std::filesystem::path directory(path);
  std::error_code error;
  if (std::filesystem::is_directory(directory, error)) return;
  if (directory.has_parent_path())
    std::filesystem::create_directories(directory.parent_path(), error);
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    throw StartError("cannot make directory " + path + ": " + std::strerror(errno));
}

Descriptor lock_file(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) throw StartError("cannot open " + path + ": " + std::strerror(errno));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return {};
    throw StartError("cannot lock " + path + ": " + std::strerror(errno));
  }
  return file;
}

}  // namespace ringwire::node
