// Worlds written by hand: the deadlocks that a design like this one may have, and the stories of
// bugs that seeds have found. Pure.
#pragma once

#include <string>
#include <vector>

#include "tests/sim/options.h"

namespace ringwire::sim {

struct Directed {
  std::string name;  ///< also of its test
  std::string story;
  WorldOptions options;
};

[[nodiscard]] std::vector<Directed> directed_worlds();
/// Those among them that are about the control plane.
[[nodiscard]] std::vector<Directed> control_worlds();
/// Those among them in which one kind of fault comes again and again.
[[nodiscard]] std::vector<Directed> fault_worlds();
/// Those among them that are about what a worker keeps of each peer.
[[nodiscard]] std::vector<Directed> worker_worlds();
/// Those among them in which messages go the short way within a node.
[[nodiscard]] std::vector<Directed> short_way_worlds();
/// Those among them in which small messages go to other nodes in runs.
[[nodiscard]] std::vector<Directed> run_worlds();

}  // namespace ringwire::sim
