// The node's state directory: locked by one engine at a time, holds the identity that outlives it
// (the names of node and
// cluster, so that no engine takes another's directory by mistake). Cold, at start only.
#pragma once

#include <string>

#include "base/ids.h"
#include "engine/node/descriptor.h"

namespace ringwire::node {

class StateDirectory {
 public:
  /// Make `path` (mode 0700) where missing and lock it. Reads or writes the identity. Errors:
  /// StartError: in use, not writable, or of another node.
  StateDirectory(const std::string& path, const std::string& node_name,
                 const std::string& cluster_name);

 private:
  Descriptor lock_;
};

/// 128 bits from the kernel. Errors: StartError.
[[nodiscard]] Id128 random_id();

/// Make a directory and its missing parents with this mode. Errors: StartError.
void make_directory(const std::string& path, unsigned mode);

/// Take an exclusive lock on a file, made where missing; an empty descriptor when another process
/// (or another engine of this one) has it. Errors: StartError when the file cannot be opened.
[[nodiscard]] Descriptor lock_file(const std::string& path);

}  // namespace ringwire::node
